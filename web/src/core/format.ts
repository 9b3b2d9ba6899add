// Numbers, sizes and times for people, in the language of the page.
import { language, t } from './i18n.ts';

const PREFIXES = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi'] as const;

/** 1024 to the power of this, in bytes: 3 is "GiB", which the French call "Gio". */
export const unitName = (power: number): string => `${PREFIXES[power] ?? ''}${language.value === 'fr' ? 'o' : 'B'}`;

export function bytes(n: number): string {
  let unit = 0;
  let value = n;
  while (value >= 1024 && unit < PREFIXES.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  const number = new Intl.NumberFormat(language.value, { maximumFractionDigits: digits }).format(value);
  return `${number}\u00a0${unitName(unit)}`;
}

/** fraction is 0 to 1 (a guest's may exceed it for a moment). */
export function percent(fraction: number): string {
  const digits = fraction > 0 && fraction < 0.1 ? 1 : 0;
  return new Intl.NumberFormat(language.value, { style: 'percent', maximumFractionDigits: digits }).format(fraction);
}

/** A length of time by its two largest units. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const parts: [number, string][] = [
    [Math.floor(s / 86400), t('unit.day')],
    [Math.floor(s / 3600) % 24, t('unit.hour')],
    [Math.floor(s / 60) % 60, t('unit.minute')],
    [s % 60, t('unit.second')],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  const shown = first < 0 ? parts.slice(-1) : parts.slice(first, first + 2);
  return shown.map(([n, unit]) => `${n}\u00a0${unit}`).join(' ');
}

// Up to the limit, counted in units of so many seconds.
const STEPS: readonly { limit: number; size: number; unit: Intl.RelativeTimeFormatUnit }[] = [
  { limit: 60, size: 1, unit: 'second' },
  { limit: 3600, size: 60, unit: 'minute' },
  { limit: 86400, size: 3600, unit: 'hour' },
  { limit: 30 * 86400, size: 86400, unit: 'day' },
];

/** "3 minutes ago"; a date when it is long ago. Times are seconds since 1970. */
export function ago(time: number, now: number): string {
  const past = Math.max(0, now - time);
  const step = STEPS.find((s) => past < s.limit);
  if (!step)
    return dateTime(time);
  return new Intl.RelativeTimeFormat(language.value, { numeric: 'auto' }).format(-Math.floor(past / step.size), step.unit);
}

export function dateTime(time: number): string {
  return new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'medium' }).format(time * 1000);
}

/** Of a catalogue that somebody wrote by hand. */
export const hostOf = (url: string): string => (URL.canParse(url) ? new URL(url).host : url);
