// Keeps the store up to date: /cluster/events pushes what changes (doc/events.md); while that cannot be had, lists are
// polled. Both go through Store.apply.
import { signal } from '@preact/signals';
import { get, ApiError } from './api.ts';
import { loadPermissions } from './perms.ts';
import { store, type Delta, type Kind } from './store.ts';

type Field = string | number | boolean | null;
type Row = Readonly<Record<string, Field>>;

const POLL_MS = 2500;
const FIRST_RETRY_MS = 500, RETRY_MS_MAX = 15_000;
const SILENCE_MS = 30_000; // the server says something at least every 12 s
const CLOCK_MS = 5000;
const PERMISSIONS_MS = 60_000;
const POLL_AFTER_TRIES = 2;
const KINDS: Readonly<Record<string, Kind>> = { qemu: 'guest', lxc: 'guest', node: 'node', storage: 'storage' };

/** false while the server does not answer: what is shown may be old. */
export const isOnline = signal(true);
export const hasLoaded = signal(false);
/** How news come, for those who want to know: the settings view and tests. */
export const source = signal<'none' | 'events' | 'polling'>('none');
/** Seconds since 1970: "3 minutes ago" moves on. */
export const now = signal(Math.floor(Date.now() / 1000));

/** The name of a row in the store: a guest's is its number, everything else's its id. */
const nameOf = (kind: Kind, id: string): string => (kind === 'guest' ? id.slice(id.indexOf('/') + 1) : id);

// ---- lists, polled ----

function withId(row: Row, key: string): Row & { id: string } {
  return { ...row, id: String(row[key] ?? '') };
}

export function takeResources(rows: readonly Row[]): void {
  const lists: Record<Kind, (Row & { id: string })[]> = { guest: [], node: [], storage: [], task: [] };
  for (const row of rows) {
    const kind = KINDS[String(row['type'])];
    if (kind)
      lists[kind].push(withId(row, kind === 'guest' ? 'vmid' : 'id'));
  }
  store.apply((['guest', 'node', 'storage'] as const).flatMap((kind) => store.diff(kind, lists[kind])));
}

export function takeTasks(rows: readonly Row[]): void {
  store.apply(store.diff('task', rows.map((row) => withId(row, 'upid'))));
}

let pollTimer: ReturnType<typeof setTimeout> | undefined;
let isPolling = false;

async function poll(): Promise<void> {
  clearTimeout(pollTimer);
  if (isPolling || !isRunning || source.peek() === 'events')
    return;
  isPolling = true;
  try {
    const [resources, tasks] = await Promise.all([get<Row[]>('/cluster/resources'), get<Row[]>('/cluster/tasks')]);
    if (isRunning && (source.peek() as string) !== 'events') {
      takeResources(resources);
      takeTasks(tasks);
      source.value = 'polling';
      isOnline.value = hasLoaded.value = true;
    }
  } catch (e) {
    isOnline.value = e instanceof ApiError && e.status !== 0 && e.status < 500;
  }
  isPolling = false;
  if (isRunning && source.peek() !== 'events' && !document.hidden)
    pollTimer = setTimeout(() => void poll(), POLL_MS);
}

// ---- events, pushed ----

interface Message {
  type?: string; kind?: Kind; id?: string; row?: Row; set?: Row; unset?: readonly string[]; cursor?: string; is_complete?: boolean; reason?: string;
}

/** One connection's stream: lines to deltas. What a full telling does not mention is gone. */
export class Reader {
  cursor = '';
  private rest = '';
  private stale: Set<string> | null = null;
  private readonly decoder = new TextDecoder();

  /** True when a group of changes has been told to its end. */
  take(data: string | ArrayBuffer): boolean {
    this.rest += typeof data === 'string' ? data : this.decoder.decode(data, { stream: true });
    const lines = this.rest.split('\n');
    this.rest = lines.pop() ?? '';
    const deltas: Delta[] = [];
    let isWhole = false;
    for (const line of lines) {
      if (line)
        isWhole = this.line(JSON.parse(line) as Message, deltas) || isWhole;
    }
    store.apply(deltas);
    return isWhole;
  }

  private line(m: Message, deltas: Delta[]): boolean {
    if (m.type === 'hello' && !m.is_complete)
      this.stale = store.names();
    else if (m.type === 'ping')
      return this.ping(m, deltas);
    if (!m.kind || m.id === undefined || !(m.kind in store.tables))
      return false;
    const id = nameOf(m.kind, m.id);
    this.stale?.delete(`${m.kind} ${id}`);
    if (m.type === 'row' && m.row)
      deltas.push({ kind: m.kind, id, set: { ...m.row, id }, unset: store.missing(m.kind, id, m.row) });
    else if (m.type === 'delta')
      deltas.push({ kind: m.kind, id, ...(m.set ? { set: m.set } : {}), ...(m.unset ? { unset: m.unset } : {}) });
    else if (m.type === 'removed')
      deltas.push({ kind: m.kind, id, unset: true });
    return false;
  }

  private ping(m: Message, deltas: Delta[]): boolean {
    for (const name of this.stale ?? []) {
      const [kind, id] = [name.slice(0, name.indexOf(' ')) as Kind, name.slice(name.indexOf(' ') + 1)];
      deltas.push({ kind, id, unset: true });
    }
    this.stale = null;
    this.cursor = m.cursor ?? '';
    return true;
  }
}

let isRunning = false;
let socket: WebSocket | null = null;
let cursor = '';
let tries = 0;
let retryTimer: ReturnType<typeof setTimeout> | undefined;
let silenceTimer: ReturnType<typeof setTimeout> | undefined;
let clockTimer: ReturnType<typeof setInterval> | undefined;
let permissionsAt = 0;
let renew: () => Promise<void> = async () => undefined;

function listen(): void {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(() => socket?.close(), SILENCE_MS);
}

function connect(): void {
  clearTimeout(retryTimer);
  if (!isRunning || socket)
    return;
  const query = new URLSearchParams({ metrics: '1', ...(cursor ? { cursor } : {}) });
  const ws = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/api2/json/cluster/events?${query}`);
  const reader = new Reader();
  ws.binaryType = 'arraybuffer';
  socket = ws;
  listen();
  ws.onmessage = (event: MessageEvent<string | ArrayBuffer>): void => {
    listen();
    if (!reader.take(event.data))
      return;
    tries = 0;
    cursor = reader.cursor;
    source.value = 'events';
    isOnline.value = hasLoaded.value = true;
  };
  ws.onclose = (event): void => {
    if (socket !== ws)
      return;
    clearTimeout(silenceTimer);
    socket = null;
    if (source.peek() === 'events')
      source.value = 'none';
    if (isRunning)
      again(event.code);
  };
}

/** 1000: the ticket is old. 1008: who it is of may not any more, which the call finds out. */
function again(code: number): void {
  tries++;
  const wait = Math.min(FIRST_RETRY_MS * 2 ** (tries - 1), RETRY_MS_MAX) * (0.75 + Math.random() / 2);
  retryTimer = setTimeout(connect, wait);
  if (code === 1000 || code === 1008)
    void renew();
  if (tries >= POLL_AFTER_TRIES || code === 1008)
    void poll();
}

function tick(): void {
  now.value = Math.floor(Date.now() / 1000);
  if (document.hidden || Date.now() - permissionsAt < PERMISSIONS_MS)
    return;
  permissionsAt = Date.now();
  void loadPermissions().catch(() => undefined);
}

/** What is seen again is looked at again: timers of a hidden page hardly run. */
function onVisible(): void {
  if (document.hidden)
    return;
  tick();
  if (!socket)
    connect();
  void poll();
}

/** After a change that this page made: without events it is looked for now and not only at the next turn. */
export function refresh(): void {
  if (source.peek() !== 'events')
    void poll();
}

/** renewSession: gets a new ticket for one that is old. */
export function startLive(renewSession: () => Promise<void>): void {
  if (isRunning)
    return;
  isRunning = true;
  renew = renewSession;
  permissionsAt = Date.now();
  tries = 0;
  cursor = '';
  document.addEventListener('visibilitychange', onVisible);
  addEventListener('online', connect);
  clockTimer = setInterval(tick, CLOCK_MS);
  connect();
}

export function stopLive(): void {
  isRunning = false;
  for (const timer of [pollTimer, retryTimer, silenceTimer])
    clearTimeout(timer);
  clearInterval(clockTimer);
  document.removeEventListener('visibilitychange', onVisible);
  removeEventListener('online', connect);
  const old = socket;
  socket = null;
  old?.close();
  source.value = 'none';
}
