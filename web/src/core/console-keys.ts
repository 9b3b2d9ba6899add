// From characters to keys and back. QEMU is told of a key by a keysym, X's number of what is on it, and finds the key in
// its table for the guest's `keyboard` (en-us if there is none); so a key is told by what that table has on it, whatever
// the user's own keyboard has there. What the guest makes of the key depends on the guest's layout alone.
import { CODES, KEYSYMS, LAYOUTS, type Layout } from './console-layouts.ts';

export const DEFAULT_LAYOUT = 'en-us';
export const layoutNames = (): string[] => Object.keys(LAYOUTS);

/** Keys without a character. */
const SPECIAL: Readonly<Record<string, number>> = {
  Escape: 0xff1b, Tab: 0xff09, Enter: 0xff0d, Backspace: 0xff08, Space: 0x20, Delete: 0xffff, Insert: 0xff63, PrintScreen: 0xff61,
  ArrowLeft: 0xff51, ArrowUp: 0xff52, ArrowRight: 0xff53, ArrowDown: 0xff54, Home: 0xff50, End: 0xff57, PageUp: 0xff55, PageDown: 0xff56,
  ShiftLeft: 0xffe1, ShiftRight: 0xffe2, ControlLeft: 0xffe3, ControlRight: 0xffe4, AltLeft: 0xffe9, AltRight: 0xfe03, MetaLeft: 0xffeb, MetaRight: 0xffec,
};

const keysymOfChar = (char: string): number => KEYSYMS[char] ?? char.charCodeAt(0);

/** What QEMU's table of that name has on a key and on no other; 0: not known. */
export function keysymOf(code: string, table: string): number {
  const f = /^F(\d\d?)$/.exec(code);
  if (f)
    return 0xffbd + Number(f[1]);
  const layout = LAYOUTS[table] ?? LAYOUTS[DEFAULT_LAYOUT];
  const char = layout?.wire?.[code] ?? layout?.levels[0][CODES.indexOf(code)] ?? ' ';
  return SPECIAL[code] ?? (char === ' ' ? 0 : keysymOfChar(char));
}

export const hasCharacter = (code: string): boolean => CODES.includes(code);

// ---- from text to keys ----

/** One key, with what is held meanwhile. */
export interface Stroke { code: string; shift: boolean; altgr: boolean }

const PLAIN: Readonly<Record<string, string>> = { '\n': 'Enter', '\r': 'Enter', '\t': 'Tab', ' ': 'Space', '\u00a0': 'Space', '\x1b': 'Escape', '\b': 'Backspace' };
/** A dead key and then the space bar give the sign alone. */
const DEAD: Readonly<Record<string, string>> = { '^': '\u0302', '`': '\u0300', '´': '\u0301', '~': '\u0303', '¨': '\u0308', '¸': '\u0327', 'ˇ': '\u030c', '˝': '\u030b', '˘': '\u0306', '˙': '\u0307', '˛': '\u0328' };

function find(layout: Layout, char: string): Stroke | null {
  for (const [level, chars] of layout.levels.entries()) {
    const code = CODES[char === ' ' ? -1 : chars.indexOf(char)];
    if (code)
      return { code, shift: level === 1, altgr: level === 2 };
  }
  return null;
}

const SPACE: Stroke = { code: 'Space', shift: false, altgr: false };

/** The keys that give a character on a keyboard of that layout; null: there is no way. */
export function strokesOf(char: string, name: string): Stroke[] | null {
  const plain = PLAIN[char];
  if (plain)
    return [{ code: plain, shift: false, altgr: false }];
  const layout = LAYOUTS[name];
  if (!layout)
    return null;
  const direct = find(layout, char);
  if (direct)
    return [direct];
  const dead = DEAD[char];
  const [base, mark, ...more] = [...(dead ? ` ${dead}` : char.normalize('NFD'))];
  const first = mark && !more.length ? find(layout, mark) : null;
  const second = base === ' ' ? SPACE : base ? find(layout, base) : null;
  return first && second ? [first, second] : null;
}

/** Characters of a text that a keyboard of that layout does not have. */
export function missing(text: string, name: string): string[] {
  return [...new Set(text.replaceAll('\r\n', '\n'))].filter((char) => !strokesOf(char, name));
}
