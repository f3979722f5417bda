// A client for any chat, in browsers and Node. `client.min.js` is made of this file by scripts/minify.

const LARGEST = 131072; // bytes of a frame, as the server counts
const WINDOW = 32; // frames on their way at once
const PAUSE = 300; // milliseconds, at least, until a frame that came too early is sent again
const LONGEST_PAUSE = 60000;
const FIRST_DELAY = 500; // milliseconds until the first try to connect again; doubles with every try
const LONGEST_DELAY = 15000;
const SILENCE = 10000; // milliseconds without an answer, after which a connection counts as dead

const later = setTimeout; // by a name that minifies

/** What a message is known by; NUL stands in no name. */
const keyOf = ({ id, revision = 0, platform = "api", channel = "" }) => [id, revision, platform, channel].join("\0");

/**
 * Connects to a chat-moderator, again and again until `close`.
 *
 * `token` is a key or a ticket, or a function that gives one (or a promise of one) each time it connects. `deadline` is
 * in milliseconds. `onDecision` hears every decision, also the later ones of moderators; `onError` hears what was
 * refused of what `send` sent, and why there is no connection. `place` goes on from the `place()` of an earlier client.
 */
export function connect(
  url,
  { token = "", deadline = 2000, onFailure = "hold", onDecision, onError, place = "", WebSocket = globalThis.WebSocket } = {},
) {
  const unsent = new Map(); // ref -> what the server does not yet have on disk
  const asked = new Map(); // key -> what somebody waits for
  let number = 0;
  let tries = 0;
  let socket, ready, pause, watch, timer, ended;

  const refuse = ({ message, key, reject = onError }, problem) => {
    asked.delete(key);
    reject?.(Object.assign(Error(problem.detail), problem, { id: message.id }));
  };

  const end = (problem) => {
    ended = problem;
    hangUp();
    for (const one of [...unsent.values(), ...asked.values()]) refuse(one, problem);
    unsent.clear();
  };

  const flush = () => {
    let room = WINDOW;
    for (const one of unsent.values()) {
      if (!ready || pause || !room--) return;
      if (one.over === socket) continue;
      one.over = socket;
      socket.send(one.frame);
      watch ||= later(retry, SILENCE);
    }
  };

  const hear = (frame) => {
    const { type, ref, status, retry_after: wait } = frame;
    const one = unsent.get(ref);
    watch = clearTimeout(watch);
    if (type === "ready") ready = !(tries = 0);
    if (type === "accepted") unsent.delete(ref);
    if (type === "decisions") {
      for (const decision of [...frame.decisions, ...frame.changes]) {
        const key = keyOf(decision);
        asked.get(key)?.resolve(decision);
        asked.delete(key);
        onDecision?.(decision);
      }
    }
    if (frame.changed >= 0) place = `after=${frame.next}&changed=${frame.changed}`;
    if (status && one) {
      if (wait) {
        one.over = 0;
        pause ||= later(() => flush((pause = 0)), Math.min(wait * 1000 + PAUSE, LONGEST_PAUSE));
      } else {
        unsent.delete(ref);
        refuse(one, frame);
      }
    } else if (status && !ready && !wait) {
      if (!token.call) end(frame); // this client is not taken; a function may have a better token next time
      refuse({ message: frame }, frame);
    }
    flush();
  };

  const hangUp = () => {
    [timer, watch, pause].map(clearTimeout);
    ready = watch = pause = 0;
    if (socket) {
      socket.onclose = socket.onerror = socket.onmessage = null;
      socket.close();
    }
  };

  const retry = () => {
    hangUp();
    timer = later(open, Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** tries++) * (1 - Math.random() / 2));
  };

  const open = async () => {
    try {
      const secret = await (token.call?.() ?? token);
      if (ended) return;
      socket = new WebSocket(url.replace(/^http(.*?)\/?$/, "ws$1/v1/stream?") + place);
      socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token: secret }));
      socket.onmessage = ({ data }) => hear(JSON.parse(data));
      socket.onclose = socket.onerror = retry; // Node 20 tells of a connection that was refused by an error alone
      watch = later(retry, SILENCE);
    } catch (problem) {
      onError?.(problem);
      retry();
    }
  };

  const post = (one) => {
    const ref = `${++number}`;
    one.frame = JSON.stringify({ type: "messages", ref, messages: [one.message] });
    one.key = keyOf(one.message);
    if (new TextEncoder().encode(one.frame).length > LARGEST) refuse(one, { status: 413, detail: "too large" });
    else if (ended) refuse(one, ended);
    else flush(unsent.set(ref, one));
  };

  open();
  return {
    /** Hands in a message that is shown at once; `onDecision` hears what is decided. */
    send: (message) => post({ message }),

    /** Asks before a message is shown; past the deadline the answer is the verdict on failure. */
    moderate(message) {
      const key = keyOf(message);
      const one = asked.get(key) ?? { message };
      one.promise ??= new Promise((resolve, reject) => {
        Object.assign(one, { resolve, reject });
        asked.set(key, one);
        later(() => {
          resolve({ ...message, action: onFailure, rule: "on_failure: no verdict in time", degraded: true });
          if (asked.get(key) === one) asked.delete(key);
        }, deadline).unref?.(); // alone, it keeps no program from ending
        post(one);
      });
      return one.promise;
    },

    place: () => place,
    close: () => end({ status: 0, detail: "closed" }),
  };
}
