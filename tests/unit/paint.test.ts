/** Text of the examples in a terminal's width: what is cut, what is broken, and what escape sequences take of it. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { clip, flow, widthOf } from "../../examples/support/paint.ts";

const RED = "\u001b[31m";
const RESET = "\u001b[0m";
const painted = fc
  .array(fc.tuple(fc.stringMatching(/^[a-z █]{1,9}$/), fc.boolean()), { maxLength: 6 })
  .map((parts) => parts.map(([text, isRed]) => (isRed ? `${RED}${text}${RESET}` : text)).join(""));

test("escape sequences take no room", () => {
  expect(widthOf(`${RED}lost${RESET} ▼`)).toBe(6);
});

test("a line is cut to the width, with its colour switched off behind it; one that fits stays as it is", () => {
  expect(clip(`${RED}abcdef${RESET} ghi`, 4)).toBe(`${RED}abc…${RESET}`);
  expect(clip(`ab${RED}cdef${RESET}`, 3)).toBe("ab…");
  fc.assert(
    fc.property(painted, fc.integer({ min: 1, max: 60 }), (text, width) => {
      const cut = clip(text, width);
      if (widthOf(text) <= width) return cut === text;
      expect(widthOf(cut)).toBe(width);
      expect(cut.includes("\u001b") ? cut.endsWith(RESET) : true).toBe(true);
      const plain = Bun.stripANSI(text);
      return Bun.stripANSI(cut) === `${plain.slice(0, width - 1)}…`;
    }),
  );
});

test("parts of a sentence are kept whole, in order, and no line is too wide unless a part is", () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-z]{1,9}$/), { minLength: 1 }), (parts) => {
      const lines = flow(parts, 20, "  ");
      expect(lines.filter((line) => line.length > 20 || !line.startsWith("  "))).toEqual([]);
      expect(lines.map((line) => line.slice(2)).join(" ")).toBe(parts.join(" "));
    }),
  );
});
