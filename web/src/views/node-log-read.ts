// Reading the host's log: its end, what has come since, what was before. PVE's two routes are asked: the journal, which
// knows cursors but no filter, and syslog, which counts lines from the first one.
import { get, getPart } from '../core/api.ts';
import { nodePath } from '../core/paths.ts';

export interface LogFilter { service: string; since: string; until: string }
/** first: how many lines are before these, or more than 0 where that is not known. end: the number of the last one. */
export interface LogPage { lines: readonly string[]; first: number; end: number; cursor: string }

const PAGE = 500;

interface Row { n: number; t: string }

const hasFilter = (f: LogFilter): boolean => f.service !== '' || f.since !== '' || f.until !== '';
/** Local time of the host, as the route takes it. */
const hostTime = (text: string): string | undefined => (text ? text.replace('T', ' ') : undefined);

async function fromJournal(node: string, count: number): Promise<LogPage | null> {
  const rows = await get<string[]>(`${nodePath(node)}/journal`, { lastentries: count });
  if (!rows.length)
    return null; // the host keeps none
  const lines = rows.slice(0, -1);
  return { lines, first: lines.length >= count ? 1 : 0, end: 0, cursor: rows.at(-1) ?? '' };
}

function fromFile(node: string, f: LogFilter, start: number, limit: number): Promise<{ rows: Row[]; total: number }> {
  return getPart<Row>(`${nodePath(node)}/syslog`, { start, limit, service: f.service || undefined, since: hostTime(f.since), until: hostTime(f.until) });
}

export async function lastPage(node: string, f: LogFilter): Promise<LogPage> {
  const journal = hasFilter(f) ? null : await fromJournal(node, PAGE);
  if (journal)
    return journal;
  const { rows, total } = await fromFile(node, f, 0, PAGE);
  if (total <= PAGE)
    return { lines: rows.map((r) => r.t), first: 0, end: total, cursor: '' };
  const last = await fromFile(node, f, total - PAGE, 0);
  return { lines: last.rows.map((r) => r.t), first: total - PAGE, end: last.total, cursor: '' };
}

/** What came after a page, and where it ends now. */
export async function newer(node: string, f: LogFilter, page: LogPage): Promise<LogPage> {
  if (page.cursor) {
    const rows = await get<string[]>(`${nodePath(node)}/journal`, { startcursor: page.cursor });
    return rows.length > 1 ? { ...page, lines: rows.slice(0, -1), cursor: rows.at(-1) ?? page.cursor } : { ...page, lines: [] };
  }
  const { rows, total } = await fromFile(node, f, page.end, 0);
  return { ...page, lines: rows.map((r) => r.t), end: total };
}

/** The page with what was before it. */
export async function withOlder(node: string, f: LogFilter, page: LogPage): Promise<LogPage> {
  if (page.cursor)
    return (await fromJournal(node, page.lines.length + PAGE)) ?? page;
  const start = Math.max(0, page.first - PAGE);
  const { rows } = await fromFile(node, f, start, page.first - start);
  return { ...page, first: start, lines: [...rows.map((r) => r.t), ...page.lines] };
}
