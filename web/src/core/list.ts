// Pure parts of lists: search terms, sorting, which rows of a long list are drawn, what a click selects.

export interface Term { field: string; text: string; isNot: boolean }

/** "web tag:prod -status:stopped": words and field:value, a minus turns one round, quotes keep blanks. */
export function parseSearch(text: string): Term[] {
  const terms: Term[] = [];
  for (const m of text.matchAll(/(-?)(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))/gi)) {
    const value = m[3] ?? m[4] ?? '';
    if (value)
      terms.push({ field: (m[2] ?? '').toLowerCase(), text: value.toLowerCase(), isNot: m[1] === '-' });
  }
  return terms;
}

/** Number 104 as "104", or as one of "100-199". */
function isNumber(text: string, value: string): boolean {
  const ends = /^(\d*)-(\d*)$/.exec(text);
  if (!ends)
    return text === value;
  const n = Number(value);
  return n >= Number(ends[1] || 0) && n <= (ends[2] ? Number(ends[2]) : Infinity);
}

/** Tags, states and the like are compared whole, numbers may be a range; a name or a node by a part of it. */
function fits(term: Term, value: string): boolean {
  const text = value.toLowerCase();
  switch (term.field) {
    case 'tag': case 'pool': case 'state': case 'status': return text === term.text;
    case 'id': return isNumber(term.text, text);
    default: return text.includes(term.text);
  }
}

/** fields: what a term may look into; words without a field look into `any`. */
export function matches(terms: readonly Term[], any: string, fields: Readonly<Record<string, readonly string[]>>): boolean {
  return terms.every((term) => {
    const isFound = term.field === '' ? any.toLowerCase().includes(term.text) : (fields[term.field] ?? []).some((v) => fits(term, v));
    return isFound !== term.isNot;
  });
}

/** A term as it is typed; what has blanks is quoted. */
export const termText = (field: string, value: string): string => `${field}:${/\s/.test(value) ? `"${value}"` : value}`;

/** Puts a term into what is searched for, or takes it out. */
export function toggleTerm(text: string, field: string, value: string): string {
  const isIt = (t: Term): boolean => t.field === field && t.text === value.toLowerCase() && !t.isNot;
  if (!parseSearch(text).some(isIt))
    return `${text} ${termText(field, value)}`.trim();
  const words = text.match(/-?(?:[a-z]+:)?(?:"[^"]*"?|\S+)/gi) ?? [];
  return words.filter((word) => !parseSearch(word).some(isIt)).join(' ');
}

export interface Sort { id: string; isDown: boolean }

/** As it stands in an address: "name", and "-mem" for the largest first. */
export const sortText = (sort: Sort): string => (sort.isDown ? `-${sort.id}` : sort.id);
export const parseSort = (text: string): Sort => (text.startsWith('-') ? { id: text.slice(1), isDown: true } : { id: text, isDown: false });

export const collatorOf = (lang: string): Intl.Collator => new Intl.Collator(lang, { numeric: true, sensitivity: 'base' });

/** Each key is asked for once. A list that is nearly in order already is sorted fast. */
export function sortBy<T>(list: readonly T[], keyOf: (item: T) => SortValue, isDown: boolean, collator: Intl.Collator): T[] {
  const keyed = list.map((item) => ({ item, key: keyOf(item) }));
  keyed.sort((a, b) => compareValues(a.key, b.key, isDown, collator));
  return keyed.map((k) => k.item);
}

export type SortValue = string | number | undefined;

/** What is missing comes last in either direction. */
export function compareValues(a: SortValue, b: SortValue, isDown: boolean, collator: Intl.Collator): number {
  if (a === undefined || b === undefined)
    return a === b ? 0 : a === undefined ? 1 : -1;
  const order = typeof a === 'number' && typeof b === 'number' ? a - b : collator.compare(String(a), String(b));
  return isDown ? -order : order;
}

/** size: how many rows a slice has that does not reach the end. */
export interface Slice { first: number; end: number; size: number }

/** Rows to draw: those seen and some beyond, in steps, so that most scrolling draws nothing new. As many wherever one is,
 * so that a row that goes can become one that comes. */
export function windowOf(scrollTop: number, height: number, rowHeight: number, count: number): Slice {
  const STEP = 4, BEYOND = 8;
  const seen = Math.ceil(height / rowHeight) + 1;
  const size = Math.ceil((seen + 2 * BEYOND) / STEP + 1) * STEP;
  const from = Math.min(Math.floor(scrollTop / rowHeight), Math.max(0, count - seen));
  const first = Math.max(0, Math.floor((from - BEYOND) / STEP) * STEP);
  return { first, end: Math.min(count, first + size), size };
}

/** The rows between two of them, both included: what shift and a click select. */
export function range(ids: readonly string[], from: string, to: string): string[] {
  const a = ids.indexOf(from), b = ids.indexOf(to);
  if (a < 0 || b < 0)
    return [to];
  return ids.slice(Math.min(a, b), Math.max(a, b) + 1);
}
