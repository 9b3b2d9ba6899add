// Records of the audit log: loaded in pages, filtered, made into files. doc/guide/audit.md says what the members mean.
import { get } from '../core/api.ts';
import { asCsv } from '../core/csv.ts';

export interface AuditRecord {
  seq: number; time: number; event: string; user?: string; claimed?: string; from?: string; method?: string; path?: string; params?: Readonly<Record<string, unknown>>;
  status?: number; error?: string; object?: string; before?: string; after?: string; upid?: string; result?: string; text?: string; interrupted?: number | boolean;
  hash?: string; prev?: string; [member: string]: unknown;
}

export interface Filter { user: string; since: string; until: string; text: string; result: '' | 'ok' | 'refused' }

export const PAGE = 100;

/** What the server can leave out by itself: user and time. Times come from fields: minutes, of which the last counts whole. */
export function serverValues(f: Filter): Record<string, number | string | undefined> {
  const second = (text: string): number | undefined => (text ? Math.floor(new Date(text).getTime() / 1000) || undefined : undefined);
  const until = second(f.until);
  return { user: f.user || undefined, since: second(f.since), until: until === undefined ? undefined : until + 59 };
}

export const isRefused = (r: AuditRecord): boolean =>
  (r.status ?? 200) >= 400 || (r.event === 'task' && r.result !== undefined && r.result !== 'OK' && !r.result.startsWith('WARNINGS')) || r.event === 'flood' || Boolean(r.interrupted);

/** Who it was; a failed login only claims a name. */
export const whoOf = (r: AuditRecord): string => r.user ?? r.claimed ?? '';

/** What was done, as a call or an event. */
export function whatOf(r: AuditRecord): string {
  if (r.event === 'task')
    return `${r.upid?.split(':')[5] ?? ''} ${r.upid?.split(':')[6] ?? ''}`.trim();
  return r.method ? `${r.method} ${r.path ?? ''}` : r.text ?? r.event;
}

const TREE = /^(shared|local)\/(auth\/)?/;

/** "shared/auth/user/joe@pve" is "user/joe@pve" to people. */
export const objectOf = (r: AuditRecord): string => (r.object ?? '').replace(TREE, '').trim();

/** What was wrong, how a task ended, or plainly that it was done. */
export const resultOf = (r: AuditRecord): string => r.error ?? r.result ?? ((r.status ?? 200) >= 400 ? String(r.status) : 'OK');

export function isFound(r: AuditRecord, f: Filter): boolean {
  if (f.result && (f.result === 'refused') !== isRefused(r))
    return false;
  const all = `${whoOf(r)} ${whatOf(r)} ${r.event} ${objectOf(r)} ${resultOf(r)} ${r.from ?? ''} ${JSON.stringify(r.params ?? {})}`.toLowerCase();
  return f.text.toLowerCase().split(/\s+/).filter(Boolean).every((word) => all.includes(word));
}

/** A page of records that are not newer than `newest` (seq), so that what comes meanwhile moves nothing. */
export async function loadPage(f: Filter, start: number, until: number | undefined): Promise<AuditRecord[]> {
  const values = serverValues(f);
  return get<AuditRecord[]>('/cluster/audit', { ...values, until: values['until'] ?? until, start, limit: PAGE });
}

/** One record by its number and time, where it is on no loaded page. */
export async function findRecord(seq: number, timeMs: number): Promise<AuditRecord | null> {
  const at = Math.floor(timeMs / 1000);
  const list = await get<AuditRecord[]>('/cluster/audit', { since: at, until: at, limit: 1000 });
  return list.find((r) => r.seq === seq) ?? null;
}

export const asLines = (records: readonly AuditRecord[]): string => records.map((r) => `${JSON.stringify(r)}\n`).join('');

const CSV: readonly (readonly [string, (r: AuditRecord) => string | number | undefined])[] = [
  ['seq', (r) => r.seq], ['time', (r) => new Date(r.time).toISOString()], ['event', (r) => r.event], ['user', (r) => r.user], ['claimed', (r) => r.claimed],
  ['from', (r) => r.from], ['method', (r) => r.method], ['path', (r) => r.path], ['object', (r) => r.object], ['status', (r) => r.status],
  ['result', (r) => r.error ?? r.result], ['before', (r) => r.before], ['after', (r) => r.after], ['upid', (r) => r.upid], ['params', (r) => r.params && JSON.stringify(r.params)],
];

export const recordsAsCsv = (records: readonly AuditRecord[]): string => asCsv([CSV.map(([name]) => name), ...records.map((r) => CSV.map(([, cell]) => cell(r)))]);
