// The chat room. Its author sees a message at once, as pending; the server judges it before anybody else sees it and
// answers with a verdict. What the server has not answered is kept, and sent again under the same id.

import { hex, node, readable } from "./readable.js";

const LONGEST = 2000; // code points of a text, as the server counts
const KEPT = 500; // messages that stay in the page
const BURST = 10; // messages sent at once; each makes room for the next after BURST_TIME: slower than the server allows
const BURST_TIME = 2500; // milliseconds
const FIRST_DELAY = 500; // milliseconds until the first try to connect again; doubles with every try
const LONGEST_DELAY = 15_000;
const SILENCE = 10_000; // the server speaks every second: a connection silent for so long is dead

const STATES = { sending: "Sending…", held: "Waiting for a moderator", blocked: "Blocked", failed: "Not sent" };
const RULES = { threshold: "over the limit for", hold: "close to the limit for", hint: "word list for", rule: "rule" };

const element = (id) => document.getElementById(id);
const log = element("log");
const list = element("messages");
const textField = element("text");
const nameField = element("name");

// ---- What the browser remembers -------------------------------------------------------------------------------------

function recall(storage, key) {
  try {
    return window[storage].getItem(`chat-moderator:${key}`);
  } catch {
    return null;
  }
}

function remember(storage, key, value) {
  try {
    window[storage].setItem(`chat-moderator:${key}`, value);
  } catch {
    // Storage is refused or full: the page works, and only forgets when it is loaded again.
  }
}


/** 128 random bits. crypto.randomUUID is missing where the page comes over a network without TLS. */
function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => hex(byte, 2)).join("");
}

/** The room that the address names, after # or as ?room=, in the letters that the server takes. */
function roomOfAddress() {
  const query = location.hash ? `room=${location.hash.slice(1)}` : location.search;
  const named = new URLSearchParams(query).get("room") ?? "";
  return named.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40) || "lobby";
}

const room = roomOfAddress();
const asked = new URLSearchParams(location.search);
const embedded = asked.has("embedded"); // by the widget, in a page of another origin
const ticketed = asked.has("tickets"); // the page has a ticket for each connection
const authorId = recall("localStorage", "author") ?? randomId();
remember("localStorage", "author", authorId);

// ---- The list of messages -------------------------------------------------------------------------------------------

const bySeq = new Map(); // seq -> the entry that shows it
const unsent = new Map(); // id -> what this window posted and the server has not answered
const aside = []; // messages that may be one of the unsent: shown once that is settled

/** A message in the list; without a time it is this window's own. `order` is the server's number once that is known. */
class Entry {
  constructor(author, text, at) {
    this.author = author;
    this.text = text;
    const time = new Date(at ?? Date.now());
    const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const initial = author.match(/[\p{L}\p{N}]/u)?.[0].toUpperCase() ?? "?";
    this.state = node("span", { className: "state" });
    this.body = node("p", { className: "text", dir: "auto" });
    this.why = node("div", { className: "why", dir: "auto" });
    const name = node("b", { dir: "auto" }, ...readable(author));
    const stamp = node("time", { dateTime: time.toISOString(), title: time.toLocaleString() }, clock);
    const by = node("p", { className: "by" }, name, " ", stamp, " ", this.state);
    this.item = node("li", {}, node("span", { className: "initial", ariaHidden: "true" }, initial), by, this.body);
    this.item.entry = this;
    this.item.dataset.hue = Array.from(author).reduce((sum, each) => (sum * 31 + each.codePointAt(0)) % 9973, 0) % 6;
    if (at === undefined) this.item.ariaLive = "off"; // its author wrote it, and hears the verdict from the status line
  }

  /** Sets the state; `why` are nodes below the text, `spans` are marked in it. */
  become(state, why = [], spans = []) {
    this.item.dataset.state = state;
    this.state.textContent = STATES[state] ?? "";
    this.body.replaceChildren(...readable(this.text, spans));
    this.why.replaceChildren(...why);
    if (why.length) this.item.append(this.why);
    else this.why.remove();
  }

  /** Puts it behind all that have a lower order. */
  place(order) {
    this.order = order;
    let next = null;
    for (let item = list.lastElementChild; item; item = item.previousElementSibling) {
      if (item === this.item) continue;
      if (item.entry.order <= order) break;
      next = item;
    }
    if (this.item.parentNode !== list || this.item.nextElementSibling !== next) list.insertBefore(this.item, next);
  }

  /** Makes it the one entry that shows the server's message `seq`. */
  number(seq) {
    bySeq.get(seq)?.item.remove();
    bySeq.set(seq, this);
    this.place(seq);
  }
}

/** Changes the list. A reader who is at its end stays there; another is told that there is more. */
function update(change) {
  const atEnd = isAtEnd();
  const last = list.lastElementChild;
  change();
  while (list.children.length > KEPT && list.firstElementChild.entry.order < Infinity) {
    bySeq.delete(list.firstElementChild.entry.order);
    list.firstElementChild.remove();
  }
  element("empty").hidden = list.children.length > 0;
  if (atEnd) showEnd();
  else if (list.lastElementChild !== last) element("newer").hidden = false;
}

const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
const showEnd = () => log.scrollTo(0, log.scrollHeight);

/** Shows what everybody in the room may see; `at` is in seconds since 1970. */
function receive({ seq, author, text, at }) {
  const known = bySeq.get(seq);
  if (known?.item.dataset.state === "held" || known?.item.dataset.state === "blocked") {
    known.become("shown");
    announce("A moderator let your message through.");
  }
  const tooOld = list.children.length >= KEPT && seq < list.firstElementChild.entry.order;
  if (known || tooOld) return;
  if ([...unsent.values()].some(({ entry }) => entry.author === author && entry.text === text)) {
    aside.push({ seq, author, text, at });
    return;
  }
  const entry = new Entry(author, text, at * 1000);
  entry.become("shown");
  entry.number(seq);
}

/** The server's verdict on a message of this window; `spans` are in code points of its text. */
function acknowledge({ id, verdict, seq, label, rule, reason, spans }) {
  const entry = settle(id);
  if (!entry) return;
  const cause = node("p", { className: "cause" });
  if (label) cause.append(node("span", {}, "Label: ", node("b", {}, inWords(label))));
  cause.append(node("span", {}, "Rule: ", node("b", { dir: "auto", title: rule }, ...readable(ruleInWords(rule)))));
  const why = [node("p", {}, ...readable(reason), " Only you see it."), cause];
  if (verdict === "allow") {
    entry.become("shown");
    announce("Sent.");
  } else if (verdict === "hold") {
    entry.become("held", why, spans);
    announce("Not shown yet: a moderator looks at your message first.");
  } else {
    entry.become("blocked", why, spans);
    announce(`Blocked${label ? `: ${inWords(label)}` : ""}. Only you see your message.`);
  }
  entry.number(seq);
  aside.splice(0).forEach(receive);
}

/** The server did not take a message in. */
function refuse({ id, reason }) {
  const entry = settle(id);
  announce(`Not sent. ${reason}`);
  if (!entry) return;
  const again = node("button", { type: "button", onclick: () => submit(id, entry) }, "Send again");
  entry.become("failed", [node("p", {}, ...readable(reason)), again]);
  entry.place(Math.max(0, ...bySeq.keys()) + 0.5); // it has no number: behind what is there now
  aside.splice(0).forEach(receive);
}

const announce = (words) => element("status").replaceChildren(words);
const inWords = (label) => label.replaceAll("_", " ");

/** "threshold:insult" as "over the limit for insult"; a rule of another form stays as it is. */
function ruleInWords(rule) {
  const [, kind, what] = rule.match(/^(\w+):(.*)$/s) ?? [];
  return Object.hasOwn(RULES, kind) ? `${RULES[kind]} ${kind === "rule" ? `“${what}”` : inWords(what)}` : rule;
}

// ---- What this window posts -----------------------------------------------------------------------------------------

/** Shows a message as pending, keeps it until it is answered, and sends it when there is a connection. */
function submit(id, entry) {
  unsent.set(id, { entry, frame: { type: "post", id, name: entry.author, text: entry.text } });
  keep();
  entry.become("sending");
  update(() => entry.place(Infinity));
  showEnd();
  textField.focus();
  connection.flush();
}

/** Takes a message from the unsent; undefined when it is not among them. */
function settle(id) {
  const entry = unsent.get(id)?.entry;
  unsent.delete(id);
  keep();
  return entry;
}

/** In the session's storage, which is this window's own: no other window sends them too. */
function keep() {
  remember("sessionStorage", `unsent:${room}`, JSON.stringify([...unsent.values()].map(({ frame }) => frame)));
}

// ---- The connection -------------------------------------------------------------------------------------------------

/** A WebSocket that comes back: exponential back-off with jitter, and at once when the browser is back. */
class Connection {
  constructor(address) {
    this.address = address;
    this.tries = 0;
    this.free = BURST;
  }

  async open() {
    if (this.socket || this.opening) return;
    clearTimeout(this.timer);
    this.opening = true;
    const offered = ticketed ? ["chat-moderator", `bearer.${await ticket()}`] : [];
    this.opening = false;
    this.socket = new WebSocket(this.address, offered);
    this.socket.onopen = () => {
      this.say("connected", "Connected");
      this.flush();
    };
    this.socket.onmessage = ({ data }) => {
      this.tries = 0; // only now: a server that accepts and hangs up is no better than none
      this.listen();
      hear(JSON.parse(data));
    };
    this.socket.onclose = () => this.retry();
    this.listen();
  }

  /** Sends what is unsent and was not yet sent over this connection, oldest first. */
  flush() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    for (const post of unsent.values()) {
      if (this.free === 0) return;
      if (post.over === this.socket) continue;
      post.over = this.socket;
      this.socket.send(JSON.stringify(post.frame));
      this.free -= 1;
      setTimeout(() => {
        this.free += 1;
        this.flush();
      }, BURST_TIME);
    }
  }

  /** Starts the wait for the next sign of life anew. */
  listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.retry(), SILENCE);
  }

  /** Lets go of the socket without waiting for the other side, which may be gone, and tries again later. */
  retry() {
    clearTimeout(this.silence);
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.tries);
    this.tries += 1;
    this.timer = setTimeout(() => this.open(), longest * (0.5 + Math.random() / 2));
    this.say("waiting", "Not connected. What you write is sent when the connection is back.");
  }

  say(state, words) {
    if (element("connection").dataset.state === state) return; // a screen reader hears each change once
    element("connection").dataset.state = state;
    element("connection").textContent = words;
  }
}

/** A ticket from the page around this one, and under which name its author writes. */
function ticket() {
  return new Promise((resolve) => {
    const settled = new AbortController();
    const answer = ({ ticket: token = "", name = "" } = {}) => {
      settled.abort();
      if (name) [nameField.value, nameField.readOnly] = [name, true];
      resolve(token);
    };
    const listening = { signal: settled.signal };
    window.addEventListener("message", ({ source, data }) => source === parent && answer(data), listening);
    setTimeout(answer, SILENCE, {});
    parent.postMessage("ticket wanted", "*"); // only pages that the security policy names can frame this one
  });
}

function hear(frame) {
  if (frame.type === "history") update(() => frame.messages.forEach(receive));
  else if (frame.type === "message") update(() => receive(frame));
  else if (frame.type === "ack") update(() => acknowledge(frame));
  else if (frame.type === "error") update(() => refuse(frame));
  else if (frame.type === "live") showLive(frame);
}

/** `blocked` is a share, 0 to 1; `p50` and `p99` are milliseconds. Without messages only the rate means something. */
function showLive({ rate, blocked, p50, p99 }) {
  const rounded = (number) => number.toLocaleString([], { maximumFractionDigits: 1 });
  element("rate").textContent = rounded(rate);
  element("blocked").textContent = rate ? `${rounded(blocked * 100)} %` : "–";
  element("p50").textContent = rate ? `${rounded(p50)} ms` : "–";
  element("p99").textContent = rate ? `${rounded(p99)} ms` : "–";
}

// ---- The page -------------------------------------------------------------------------------------------------------

const address = new URL(`v1/chat/${room}?author=${authorId}`, location.href);
address.protocol = location.protocol.replace("http", "ws");
const connection = new Connection(address);

/** The length of what would be sent, which is said once it matters. */
function count() {
  const length = Array.from(textField.value.trim()).length;
  const close = length > LONGEST * 0.9;
  element("count").textContent = close ? `${length.toLocaleString()} of ${LONGEST.toLocaleString()} characters` : "";
  textField.ariaInvalid = String(length > LONGEST);
  return length;
}

element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  textField.focus();
  const length = count();
  if (length > LONGEST) announce(`Too long: a message has at most ${LONGEST.toLocaleString()} characters.`);
  if (length === 0 || length > LONGEST) return;
  rename();
  submit(randomId(), new Entry(nameField.value, textField.value.trim().toWellFormed()));
  textField.value = "";
  count();
});
textField.addEventListener("input", count);
textField.addEventListener("keydown", (event) => {
  const composing = event.isComposing || event.keyCode === 229; // Enter that ends an input method's word; 229 in Safari
  if (event.key !== "Enter" || event.shiftKey || composing) return;
  event.preventDefault();
  element("composer").requestSubmit();
});

function rename() {
  nameField.value = nameField.value.toWellFormed().trim() || `Guest ${authorId.slice(0, 4)}`;
  remember("sessionStorage", "name", nameField.value); // two windows of one browser may be two people
  remember("localStorage", "name", nameField.value);
}
nameField.value = recall("sessionStorage", "name") ?? recall("localStorage", "name") ?? "";
nameField.addEventListener("change", rename);
nameField.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.isComposing) textField.focus();
});
rename();

log.addEventListener("scroll", () => (element("newer").hidden ||= isAtEnd()));
element("newer").addEventListener("click", () => {
  showEnd();
  textField.focus();
});

if (!embedded) textField.focus();
element("room").textContent = room;
document.title = `${room} – chat room`;
window.addEventListener("hashchange", () => location.reload());
window.addEventListener("online", () => connection.open());
window.addEventListener("pageshow", () => connection.open());
document.addEventListener("visibilitychange", () => connection.open());

for (const { id, name, text } of JSON.parse(recall("sessionStorage", `unsent:${room}`) ?? "[]")) {
  submit(id, new Entry(name, text));
}
connection.open();
