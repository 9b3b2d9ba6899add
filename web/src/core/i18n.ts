// Languages. A text may hold {name} for a parameter, and for numbers two forms, "{n} guest|{n} guests", of which Intl's
// plural rules choose. Texts lie in areas: "core" in English is part of the first load; the others, and other
// languages, come with the view that needs them.
import { signal } from '@preact/signals';
import en from '../locale/en/core.json';
import type access from '../locale/en/access.json';
import type consoles from '../locale/en/console.json';
import type create from '../locale/en/create.json';
import type guest from '../locale/en/guest.json';
import type node from '../locale/en/node.json';
import type settings from '../locale/en/settings.json';
import type storage from '../locale/en/storage.json';

export type Area = 'core' | 'access' | 'console' | 'create' | 'guest' | 'node' | 'settings' | 'storage';
export type Key = keyof typeof en | keyof typeof access | keyof typeof consoles | keyof typeof create | keyof typeof guest
  | keyof typeof node | keyof typeof settings | keyof typeof storage;
export type Params = Readonly<Record<string, string | number>>;
type Texts = Readonly<Record<string, string>>;

/** What a settings view offers; each language in its own words. */
export const LANGUAGES: readonly (readonly [string, string])[] = [
  ['en', 'English'], ['de', 'Deutsch'], ['fr', 'Français'], ['zh', '中文'],
];
const PSEUDO = 'xx';

export const language = signal('en');
/** English below the chosen language: a text that is missing there is shown in English. */
const catalogue = signal<Texts>(en);
let current = 'en';
const areas = new Set<Area>(['core']);

function pick(text: string, n: number, lang: string): string {
  const forms = text.split('|');
  const isOne = new Intl.PluralRules(lang).select(n) === 'one';
  return (isOne ? forms[0] : forms.at(-1)) ?? text;
}

export function fill(text: string, params: Params | undefined, lang: string): string {
  if (!params)
    return text;
  const n = params['n'];
  const form = typeof n === 'number' && text.includes('|') ? pick(text, n, lang) : text;
  return form.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined)
      return whole;
    return typeof value === 'number' ? new Intl.NumberFormat(lang).format(value) : value;
  });
}

export function t(key: Key, params?: Params): string {
  return fill(catalogue.value[key] ?? key, params, language.value);
}

const ACCENTS: Readonly<Record<string, string>> = { a: 'á', e: 'é', i: 'í', o: 'ó', u: 'ú', A: 'Á', E: 'É', I: 'Í', O: 'Ó', U: 'Ú' };

/** Longer, accented and bracketed English: shows texts that did not come through t() and places that are too narrow. */
export function pseudo(text: string): string {
  const forms = text.split('|').map((form) => {
    const accented = form.replace(/\{\w+\}|[aeiouAEIOU]/g, (m) => (m.length > 1 ? m : (ACCENTS[m] ?? m)));
    return `[${accented}${'~'.repeat(Math.ceil(form.length / 3))}]`;
  });
  return forms.join('|');
}

async function textsOf(lang: string, area: Area): Promise<Texts> {
  if (lang === 'en' && area === 'core')
    return en;
  if (lang === PSEUDO)
    return Object.fromEntries(Object.entries(await textsOf('en', area)).map(([k, v]) => [k, pseudo(v)]));
  return ((await import(`../locale/${lang}/${area}.json`)) as { default: Texts }).default;
}

async function gather(lang: string, wanted: Iterable<Area>): Promise<Texts> {
  const list = [...wanted];
  const parts = await Promise.all([...list.map((a) => textsOf('en', a)), ...(lang === 'en' ? [] : list.map((a) => textsOf(lang, a)))]);
  return Object.assign({}, ...parts) as Texts;
}

const isKnown = (lang: string): boolean => lang === PSEUDO || LANGUAGES.some(([id]) => id === lang);

export async function setLanguage(wanted: string): Promise<void> {
  const lang = isKnown(wanted) ? wanted : 'en';
  if (lang !== current) {
    catalogue.value = await gather(lang, areas);
    current = lang;
    language.value = lang === PSEUDO ? 'en' : lang;
  }
  if (typeof document !== 'undefined')
    document.documentElement.lang = language.value;
}

/** The texts of a view, before it is shown. */
export async function loadArea(area: Area): Promise<void> {
  while (!areas.has(area)) {
    const lang = current;
    const more = await gather(lang, [area]);
    if (lang !== current)
      continue; // another language was chosen meanwhile
    areas.add(area);
    catalogue.value = { ...catalogue.peek(), ...more };
  }
}

/** The first language that the browser asks for and the page has. */
export function preferred(wanted: readonly string[]): string {
  for (const tag of wanted) {
    const lang = tag.toLowerCase().split('-')[0] ?? '';
    if (lang !== PSEUDO && isKnown(lang))
      return lang;
  }
  return 'en';
}
