// Puts the chat room into a page: <script src="https://MODERATOR/widget.js" data-channel="lobby"></script>
//
// The room runs in a frame of the moderator's origin, out of the page's reach and under its own security policy.
// `data-tickets` is an address of the page's own site that answers as POST /v1/tickets did: the frame asks for a
// ticket each time it connects.

{
  const script = document.currentScript;
  const { channel = "lobby", tickets, title = `Chat room ${channel}` } = script.dataset;
  const address = new URL("chat?embedded", script.src);
  address.searchParams.set("room", channel);
  if (tickets) address.searchParams.set("tickets", "");

  const frame = Object.assign(document.createElement("iframe"), {
    className: "chat-moderator",
    src: address,
    title,
    width: "100%",
    height: "480",
    referrerPolicy: "no-referrer",
  });

  window.addEventListener("message", async ({ source, origin, data }) => {
    if (source !== frame.contentWindow || origin !== address.origin || data !== "ticket wanted") return;
    let answer = {};
    try {
      answer = await (await fetch(tickets, { method: "POST", credentials: "same-origin" })).json();
    } catch {
      // Without a ticket the frame tries again, ever more slowly.
    }
    frame.contentWindow?.postMessage({ ticket: answer.ticket, name: answer.name }, address.origin);
  });

  script.after(frame);
}
