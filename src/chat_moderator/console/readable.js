// Text that cannot deceive: nothing in it is markup, and what cannot be seen is shown by its number.

export const hex = (number, digits) => number.toString(16).padStart(digits, "0");

// Invisible characters that belong where they stand: in emoji sequences, keycaps and flags, variants of ideographs,
// joiners in scripts that join. Every other invisible, control or bidirectional character is shown by its number.
const JOINING = "Arab Beng Deva Gujr Guru Knda Mlym Mong Orya Sinh Syrc Taml Telu".replace(/(\w+) ?/g, "\\p{scx=$1}");
const FITTING = [
  String.raw`(?<=\p{ExtPict})[\uFE0E\uFE0F]`,
  String.raw`(?<=[\d#*])\uFE0F(?=\u20E3)`,
  String.raw`(?<=[\p{ExtPict}\p{EMod}\uFE0F])\u200D(?=\p{ExtPict})`,
  String.raw`(?<=\u{1F3F4}[\u{E0061}-\u{E007A}]{0,5})[\u{E0061}-\u{E007A}\u{E007F}]`,
  String.raw`(?<=\p{sc=Han})[\u{E0100}-\u{E01EF}]`,
  String.raw`(?<=[${JOINING}])[\u200C\u200D]`,
];
const UNSEEN = String.raw`(?![\n\t])[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_C}\p{DI}\u2800\uFFF9-\uFFFB]`;
const UNSEEN_OR_FITTING = new RegExp(`(?<fitting>${FITTING.join("|")})|${UNSEEN}`, "gu");

/** The text as nodes: hidden characters by number, and code points within spans [start, end, label] in <mark>. */
export function readable(text, spans = []) {
  const unseen = new Set();
  for (const { index, groups } of text.matchAll(UNSEEN_OR_FITTING)) if (!groups.fitting) unseen.add(index);
  const runs = [];
  let unit = 0;
  Array.from(text).forEach((character, point) => {
    const hidden = unseen.has(unit);
    const marked = spans.some(([start, end]) => start <= point && point < end);
    const shown = hidden ? `⟦U+${hex(character.codePointAt(0), 4).toUpperCase()}⟧` : character;
    const last = runs.at(-1);
    if (last?.hidden === hidden && last.marked === marked) last.text += shown;
    else runs.push({ hidden, marked, text: shown });
    unit += character.length;
  });
  return runs.map(({ hidden, marked, text: shown }) =>
    hidden || marked ? node(marked ? "mark" : "span", { className: hidden ? "number" : "" }, shown) : shown,
  );
}

/** An element with its properties and children; a child is an element or plain text, never markup. */
export function node(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
