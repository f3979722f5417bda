// The chat room. A message is shown to its author at once, as pending; the server judges it before anybody else sees it
// and answers with a verdict. What the server has not answered is kept and sent again under the same id.

const LONGEST = 2000; // code points of a text, as the server counts
const KEPT = 500; // messages that stay in the page
const FIRST_DELAY = 500; // milliseconds until the first try to reconnect; doubles up to LONGEST_DELAY
const LONGEST_DELAY = 15_000;
const SILENCE = 10_000; // the server speaks every second: a connection silent for so long is dead
const SAID = { sending: "Sending…", shown: "", held: "Waiting for a moderator", blocked: "Blocked", failed: "Not sent" };

const element = (id) => document.getElementById(id);
const log = element("log");
const list = element("messages");
const textField = element("text");
const nameField = element("name");

// ---- What the browser remembers -------------------------------------------------------------------------------------

/** A value in web storage, or only in this page where storage is refused. */
class Remembered {
  constructor(storage, key) {
    this.storage = storage;
    this.key = `chat-moderator:${key}`;
    this.value = null;
  }

  get() {
    try {
      return window[this.storage].getItem(this.key) ?? this.value;
    } catch {
      return this.value;
    }
  }

  set(value) {
    this.value = value;
    try {
      window[this.storage].setItem(this.key, value);
    } catch {
      // Storage is full or refused: this page still works, it only forgets when it is reloaded.
    }
  }
}

/** A random UUID (version 4). crypto.randomUUID is missing where the page is not served over TLS or loopback. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The room that the address names, after # or as ?room=. */
function roomOfAddress() {
  const hash = location.hash.slice(1).replace(/[&+]/g, encodeURIComponent); // both mean something in a query
  const named = new URLSearchParams(`room=${hash}`).get("room") || new URLSearchParams(location.search).get("room");
  return named?.toWellFormed().trim() || "lobby";
}

const room = roomOfAddress();
const authorId = new Remembered("localStorage", "author");
const lastName = new Remembered("localStorage", "name");
const windowName = new Remembered("sessionStorage", "name"); // two windows of one browser may be two people
const unsentText = new Remembered("sessionStorage", `unsent:${room}`); // this window's own, so that no other sends it
if (!authorId.get()) authorId.set(uuid());

// ---- Text that cannot deceive ---------------------------------------------------------------------------------------

// Invisible characters that belong to what they stand in: emoji sequences, flags, keycaps, joiners of scripts that join,
// variants of ideographs. All other invisible, control and bidirectional characters are shown by their number.
const JOINING = "Arab Syrc Mong Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh".replace(/\w+ ?/g, (script) => `\\p{scx=${script.trim()}}`);
const UNSEEN = new RegExp(
  "(?<fitting>" +
    [
      String.raw`(?<=\p{ExtPict})[\uFE0E\uFE0F]`,
      String.raw`(?<=[\d#*])\uFE0F(?=\u20E3)`,
      String.raw`(?<=[\p{ExtPict}\p{EMod}\uFE0F])\u200D(?=\p{ExtPict})`,
      String.raw`(?<=\u{1F3F4}[\u{E0061}-\u{E007A}]{0,5})[\u{E0061}-\u{E007A}\u{E007F}]`,
      String.raw`(?<=\p{sc=Han})[\u{E0100}-\u{E01EF}]`,
      String.raw`(?<=[${JOINING}])[\u200C\u200D]`,
    ].join("|") +
    String.raw`)|(?![\n\t])[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_C}\p{DI}\u2800\uFFF9-\uFFFB]`,
  "gu",
);

/** The text as nodes: invisible characters by number, and what lies in a span [start, end, label] in a <mark>. */
function readable(text, spans = []) {
  const unseen = new Set();
  for (const found of text.matchAll(UNSEEN)) if (!found.groups.fitting) unseen.add(found.index);
  const runs = [];
  let unit = 0;
  Array.from(text).forEach((character, point) => {
    const hidden = unseen.has(unit);
    const marked = spans.some(([start, end]) => start <= point && point < end);
    const shown = hidden ? `⟦U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧` : character;
    const last = runs.at(-1);
    if (last?.hidden === hidden && last.marked === marked) last.text += shown;
    else runs.push({ hidden, marked, text: shown });
    unit += character.length;
  });
  return runs.map((run) => (run.hidden || run.marked ? node(run.marked ? "mark" : "span", { className: run.hidden ? "hidden-character" : "" }, run.text) : run.text));
}

/** An element with properties and children, which are elements or plain text and never markup. */
function node(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ---- The list of messages -------------------------------------------------------------------------------------------

const bySeq = new Map(); // seq -> what is in the list
const unsent = new Map(); // id -> what this window posted and the server has not answered
let aside = []; // what came in and may be an unsent one of this window: shown once that is settled

/** A message in the list. `order` is its place: the server's number, or the end while it is not known. */
class Entry {
  constructor({ author, text, at, mine = false }) {
    this.author = author;
    this.text = text;
    this.mine = mine;
    this.order = Infinity;
    const time = new Date(at);
    const hue = Array.from(author).reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 6, 0);
    const initial = author.match(/[\p{L}\p{N}\p{ExtPict}]/u)?.[0] ?? "?";
    this.state = node("span", { className: "state" });
    this.body = node("p", { className: "text", dir: "auto" }, ...readable(text));
    this.item = node(
      "li",
      {},
      node("span", { className: "initial", ariaHidden: "true" }, initial.toUpperCase()),
      node("p", { className: "by" },
        node("b", { dir: "auto" }, ...readable(author.replace(/\s+/g, " "))),
        " ",
        node("time", { dateTime: time.toISOString(), title: time.toLocaleString() }, time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })),
        " ",
        this.state),
      this.body,
    );
    this.item.dataset.hue = hue;
    if (mine) this.item.ariaLive = "off"; // its author wrote it, and hears the verdict from the status line
    this.item.entry = this;
  }

  /** Sets the state, one of SAID, and what is said below the text: `why` (nodes), and the spans to mark. */
  become(state, { why = [], spans = [] } = {}) {
    this.item.dataset.state = state;
    this.state.textContent = SAID[state];
    this.body.replaceChildren(...readable(this.text, spans));
    this.item.querySelector(".why")?.remove();
    if (why.length) this.item.append(node("div", { className: "why", dir: "auto" }, ...why));
  }

  /** Puts it where its order says: after all that came before it. */
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

  /** Gives it the server's number. */
  number(seq) {
    bySeq.set(seq, this);
    this.seq = seq;
    this.place(seq);
  }
}

/** Changes the list, and stays at its end if the reader was there. */
function update(change) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const last = list.lastElementChild;
  change();
  while (list.children.length > KEPT) {
    const { seq } = list.firstElementChild.entry;
    if (seq === undefined) break; // unsent ones stay
    bySeq.delete(seq);
    list.firstElementChild.remove();
  }
  element("empty").hidden = list.children.length > 0;
  if (atEnd) showEnd();
  else if (list.lastElementChild !== last) element("newer").hidden = false;
}

function showEnd() {
  log.scrollTop = log.scrollHeight;
}

/** A message that everybody in the room may see. */
function receive(message) {
  const known = bySeq.get(message.seq);
  if (known) {
    if (known.item.dataset.state === "held" || known.item.dataset.state === "blocked") {
      known.become("shown");
      announce("A moderator let your message through.");
    }
    return;
  }
  const forgotten = list.children.length >= KEPT && message.seq < (list.firstElementChild.entry.seq ?? 0);
  if (forgotten) return;
  if ([...unsent.values()].some(({ entry }) => entry.author === message.author && entry.text === message.text)) {
    aside.push(message);
    return;
  }
  const entry = new Entry({ ...message, at: moment(message.at) });
  entry.become("shown");
  entry.number(message.seq);
}

/** Milliseconds of a time the server wrote: seconds since 1970, or ISO 8601. */
function moment(at) {
  return typeof at === "number" ? at * 1000 : Date.parse(at);
}

/** The server's verdict about a message of this window. */
function acknowledge({ id, verdict, seq, label, rule, reason, spans }) {
  const entry = settle(id);
  if (!entry) return;
  const causes = [];
  if (label) causes.push(node("span", {}, "Label: ", node("b", {}, label.replaceAll("_", " "))));
  if (rule) causes.push(node("span", {}, "Rule: ", node("b", { dir: "auto" }, ...readable(rule))));
  const why = [node("p", {}, ...readable(reason || "")), node("p", { className: "causes" }, ...causes)];
  if (verdict === "allow") {
    entry.become("shown");
    announce("Your message was sent.");
  } else if (verdict === "hold") {
    entry.become("held", { why: [node("p", {}, "A moderator looks at it; until then only you see it. "), ...why], spans });
    announce(`Your message waits for a moderator. ${reason || ""}`);
  } else {
    entry.become("blocked", { why: [node("p", {}, "Nobody else sees this message. "), ...why], spans });
    announce(`Your message was blocked: ${(label || "not allowed").replaceAll("_", " ")}. Nobody else sees it.`);
  }
  entry.number(seq);
  showAside();
}

/** The server could not take a message; without an id, what it could not read. */
function refuse({ id, reason }) {
  const entry = settle(id);
  announce(`Not sent: ${reason}`);
  if (!entry) return;
  const again = node("button", { type: "button", onclick: () => submit(id, entry) }, "Send again");
  entry.become("failed", { why: [node("p", {}, ...readable(reason)), again] });
  entry.place(Math.max(0, ...bySeq.keys()));
  showAside();
}

function showAside() {
  const waiting = aside;
  aside = [];
  waiting.forEach(receive);
}

function announce(text) {
  element("status").textContent = text;
}

// ---- What this window posts -----------------------------------------------------------------------------------------

function post(text) {
  const name = nameField.value.toWellFormed();
  const entry = new Entry({ author: name, text, at: Date.now(), mine: true });
  submit(uuid(), entry);
}

/** Shows a message as pending, keeps it until it is answered, and sends it if there is a connection. */
function submit(id, entry) {
  unsent.set(id, { entry, frame: { type: "post", id, name: entry.author, text: entry.text } });
  keep();
  entry.become("sending");
  update(() => entry.place(Infinity));
  showEnd();
  connection.send(unsent.get(id).frame);
}

/** Takes the message with this id from the unsent; undefined when it is not among them. */
function settle(id) {
  const entry = unsent.get(id)?.entry;
  unsent.delete(id);
  keep();
  return entry;
}

function keep() {
  unsentText.set(JSON.stringify([...unsent.values()].map(({ frame }) => frame)));
}

// ---- The connection -------------------------------------------------------------------------------------------------

/** A WebSocket that comes back: exponential back-off with jitter, at once when the browser is online or visible again. */
class Connection {
  constructor(address) {
    this.address = address;
    this.tries = 0;
  }

  open() {
    clearTimeout(this.timer);
    this.drop();
    this.socket = new WebSocket(this.address);
    this.socket.onopen = () => {
      this.say("connected", "Connected");
      for (const { frame } of unsent.values()) this.send(frame);
    };
    this.socket.onmessage = ({ data }) => {
      this.tries = 0;
      this.listen();
      hear(JSON.parse(data));
    };
    this.socket.onclose = () => this.retry();
    this.listen();
  }

  send(frame) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(frame));
  }

  /** Forgets the socket without waiting for the other side, which may be gone. */
  drop() {
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.retry(), SILENCE);
  }

  retry() {
    clearTimeout(this.silence);
    this.drop();
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.tries++);
    this.timer = setTimeout(() => this.open(), longest * (0.5 + Math.random() / 2));
    this.say("waiting", "Not connected. What you write is sent when the connection is back.");
  }

  hurry() {
    if (!this.socket) this.open();
  }

  say(state, words) {
    if (element("connection").dataset.state === state) return; // a screen reader hears each change once
    element("connection").dataset.state = state;
    element("connection").textContent = words;
  }
}

function hear(frame) {
  if (frame.type === "history") update(() => frame.messages.forEach(receive));
  else if (frame.type === "message") update(() => receive(frame));
  else if (frame.type === "ack") update(() => acknowledge(frame));
  else if (frame.type === "error") update(() => refuse(frame));
  else if (frame.type === "live") showLive(frame);
}

function showLive({ rate, blocked, p50, p99 }) {
  const digits = (value, most) => (value ?? null) === null ? "–" : value.toLocaleString([], { maximumFractionDigits: most });
  element("rate").textContent = digits(rate, 1);
  element("blocked").textContent = (blocked ?? null) === null ? "–" : `${digits(blocked * 100, 1)} %`;
  element("p50").textContent = (p50 ?? null) === null ? "–" : `${digits(p50, 1)} ms`;
  element("p99").textContent = (p99 ?? null) === null ? "–" : `${digits(p99, 1)} ms`;
}

// ---- The page -------------------------------------------------------------------------------------------------------

const inWebSocket = new URL(`v1/chat/${encodeURIComponent(room)}?author=${authorId.get()}`, location.href);
inWebSocket.protocol = location.protocol.replace("http", "ws");
const connection = new Connection(inWebSocket);

/** Shows how long the text is once that matters; whether it may be sent. */
function fits() {
  const length = Array.from(textField.value.trim()).length;
  const tooLong = length > LONGEST;
  element("count").textContent = length > LONGEST * 0.9 ? `${length.toLocaleString()} of ${LONGEST.toLocaleString()} characters` : "";
  textField.ariaInvalid = String(tooLong);
  return length > 0 && !tooLong;
}

element("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (fits()) {
    post(textField.value.trim().toWellFormed());
    textField.value = "";
    fits();
  } else if (textField.value.trim()) announce(`Too long: a message has at most ${LONGEST.toLocaleString()} characters.`);
  textField.focus();
});

textField.addEventListener("input", fits);
textField.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return; // 229: composing, in Safari
  event.preventDefault();
  element("composer").requestSubmit();
});

nameField.value = windowName.get() || lastName.get() || "";
function rename() {
  nameField.value = nameField.value.toWellFormed().trim() || `Guest ${authorId.get().slice(0, 4)}`;
  windowName.set(nameField.value);
  lastName.set(nameField.value);
}
nameField.addEventListener("change", rename);
nameField.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.isComposing) textField.focus();
});
rename();

log.addEventListener("scroll", () => {
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 40) element("newer").hidden = true;
});
element("newer").addEventListener("click", () => {
  showEnd();
  textField.focus();
});

element("room").append(...readable(room));
document.title = `${element("room").textContent} – chat room`;
window.addEventListener("hashchange", () => location.reload());
window.addEventListener("online", () => connection.hurry());
window.addEventListener("pageshow", () => connection.hurry());
document.addEventListener("visibilitychange", () => connection.hurry());

for (const { id, name, text } of JSON.parse(unsentText.get() ?? "[]")) {
  submit(id, new Entry({ author: name, text, at: Date.now(), mine: true }));
}
connection.hurry();
