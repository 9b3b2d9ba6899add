// Consoles of a guest: which there are, how one is opened, and the life of a connection: it is made when the guest runs,
// made again when it breaks, ever more slowly, and not at all when the server has said no.
import { signal } from '@preact/signals';
import { ApiError, get, post } from './api.ts';
import { guestPath } from './guests.ts';
import { parseProperties } from './property.ts';
import type { Guest } from './store.ts';

export type Kind = 'vnc' | 'serial0' | 'serial1' | 'serial2' | 'serial3';
export const SERIAL: readonly Kind[] = ['serial0', 'serial1', 'serial2', 'serial3'];
export const isKind = (text: string | null): text is Kind => text === 'vnc' || SERIAL.some((kind) => kind === text);

export type GuestConfig = Readonly<Record<string, string | number | undefined>>;

/** What the guest was started with, as far as the server tells; what waits for the next start is not there yet. */
export const loadConfig = (g: Guest): Promise<GuestConfig> => get<GuestConfig>(`${guestPath(g)}/config`, { current: true });

/** The likeliest first: the screen, unless `vga` names a serial port. */
export function kindsOf(config: GuestConfig): Kind[] {
  const vga = parseProperties(String(config['vga'] ?? ''), 'type').get('type') ?? 'std';
  const ports = SERIAL.filter((kind) => config[kind] !== undefined);
  const hasScreen = config['engine'] !== 'vmm' && vga !== 'none' && !vga.startsWith('serial');
  const first = ports.filter((kind) => kind === vga);
  return [...(hasScreen ? ['vnc' as const] : first), ...ports.filter((kind) => !first.includes(kind))];
}

// ---- one connection ----

interface Ticket { user: string; ticket: string; port: number; password?: string }
export interface Opened { socket: WebSocket; ticket: Ticket }

/** A ticket and the WebSocket that it opens; it is good for one connection within 30 s. */
export async function openSocket(g: Guest, kind: Kind): Promise<Opened> {
  const path = guestPath(g);
  const ticket = kind === 'vnc'
    ? await post<Ticket>(`${path}/vncproxy`, { websocket: true })
    : await post<Ticket>(`${path}/termproxy`, { serial: kind });
  const query = new URLSearchParams({ port: String(ticket.port), vncticket: ticket.ticket });
  const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/api2/json${path}/vncwebsocket?${query}`, ['binary']);
  socket.binaryType = 'arraybuffer';
  return { socket, ticket };
}

/** What a connection tells of itself. */
export interface Link { onOpen: () => void; onClose: (code: number) => void }
/** Begins a connection; the result ends it, without a word to the link. */
export type Open = (link: Link) => Promise<() => void>;

// ---- its life ----

/** off: the guest does not run. ended: only the user makes another try. */
export type Phase = 'off' | 'connecting' | 'connected' | 'waiting' | 'ended';

const FIRST_WAIT_MS = 1000, WAIT_MS_MAX = 15_000;
const STABLE_MS = 10_000; // who lasted that long begins with a short wait again
const POLICY = 1008;
const HOPELESS = [400, 401, 403, 404, 501];
/** The server knows before the list of guests does, and the other way round. */
const PASSING = 'guest.stopped';

export class Revoked extends Error {}

export class Session {
  readonly phase = signal<Phase>('off');
  readonly error = signal<unknown>(null);
  /** When the next try is, in milliseconds since 1970. */
  readonly nextTry = signal(0);
  private tries = 0;
  private openedAt = 0;
  private turn = 0; // what an older connection still says is not heard
  private timer: ReturnType<typeof setTimeout> | undefined;
  private end: (() => void) | null = null;
  private readonly open: Open;

  constructor(open: Open) {
    this.open = open;
  }

  /** The guest runs, or has stopped. */
  setUp(isUp: boolean): void {
    if (!isUp) {
      this.drop();
      this.phase.value = 'off';
    } else if (this.phase.peek() === 'off') {
      this.tries = 0;
      this.start();
    }
  }

  /** Now, and not after the wait. */
  retry(): void {
    if (this.phase.peek() === 'waiting' || this.phase.peek() === 'ended')
      this.start();
  }

  drop(): void {
    this.turn++;
    clearTimeout(this.timer);
    this.end?.();
    this.end = null;
  }

  private start(): void {
    this.drop();
    const turn = this.turn;
    const isMine = (): boolean => turn === this.turn;
    this.error.value = null;
    this.phase.value = 'connecting';
    const link: Link = {
      onOpen: () => { if (isMine()) { this.phase.value = 'connected'; this.openedAt = Date.now(); } },
      onClose: (code) => { if (isMine()) this.onClosed(code); },
    };
    this.open(link).then(
      (end) => { if (isMine()) this.end = end; else end(); },
      (e: unknown) => { if (isMine()) this.onFailed(e); },
    );
  }

  private onClosed(code: number): void {
    if (this.phase.peek() === 'connected' && Date.now() - this.openedAt >= STABLE_MS)
      this.tries = 0;
    if (code === POLICY)
      this.onFailed(new Revoked());
    else
      this.wait();
  }

  private onFailed(e: unknown): void {
    this.error.value = e;
    const isHopeless = e instanceof Revoked || (e instanceof ApiError && (HOPELESS.includes(e.status) || e.code.startsWith('guest.no-')) && e.code !== PASSING);
    if (!isHopeless)
      return this.wait();
    this.drop();
    this.phase.value = 'ended';
  }

  private wait(): void {
    this.drop();
    const ms = Math.min(FIRST_WAIT_MS * 2 ** this.tries++, WAIT_MS_MAX) * (0.75 + Math.random() / 2);
    this.nextTry.value = Date.now() + ms;
    this.phase.value = 'waiting';
    this.timer = setTimeout(() => this.start(), ms);
  }
}
