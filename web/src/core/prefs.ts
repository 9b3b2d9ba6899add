// What somebody has chosen for himself in this browser: language, light or dark, columns.
import { effect, signal, type Signal } from '@preact/signals';
import { preferred, setLanguage } from './i18n.ts';

function stored<T>(key: string, fallback: T, isValid: (value: unknown) => value is T): Signal<T> {
  let value = fallback;
  try {
    const old: unknown = JSON.parse(localStorage.getItem(key) ?? 'null');
    if (isValid(old))
      value = old;
  } catch {
    // of another version: the default
  }
  const s = signal(value);
  effect(() => { localStorage.setItem(key, JSON.stringify(s.value)); });
  return s;
}

export type Theme = 'auto' | 'light' | 'dark';
const isTheme = (v: unknown): v is Theme => v === 'auto' || v === 'light' || v === 'dark';
const isText = (v: unknown): v is string => typeof v === 'string';
const isTexts = (v: unknown): v is string[] => Array.isArray(v) && v.every(isText);

export const theme = stored<Theme>('holm.theme', 'auto', isTheme);
export const chosenLanguage = stored<string>('holm.language', '', isText);

/** What is searched for, in which order and with which columns, under a name. `query` is that part of the address. */
export interface SavedView { name: string; query: string; hidden: string[] }
const isView = (v: unknown): v is SavedView =>
  typeof v === 'object' && v !== null && 'name' in v && isText(v.name) && 'query' in v && isText(v.query) && 'hidden' in v && isTexts(v.hidden);
const isViews = (v: unknown): v is SavedView[] => Array.isArray(v) && v.every(isView);
export const savedViews = stored<SavedView[]>('holm.views.guests', [], isViews);

/** Hidden columns of a table. */
export const hiddenColumns = (table: string, hidden: string[]): Signal<string[]> => stored(`holm.hidden.${table}`, hidden, isTexts);

export function startPrefs(): void {
  effect(() => { document.documentElement.dataset['theme'] = theme.value; });
  effect(() => { void setLanguage(chosenLanguage.value || preferred(navigator.languages)); });
}
