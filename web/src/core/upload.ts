// One file on its way into a storage, in pieces. What the server has received stays there when the connection, the page
// or the server ends; whoever has the same file goes on behind it. That it is the same is not believed but compared: by
// SHA-256, of what lies there before anything is added, and after each piece.
import { ApiError } from './api.ts';
import { Sha256 } from './sha256.ts';

/** An upload that is not finished, as the server tells it (api/uploads.json). */
export interface Part {
  id: string; volid: string; content: string; filename: string; user: string; size: number; received: number; sha256: string;
  expires: number; busy?: number;
}

export interface Checksum { algorithm: string; value: string }

export interface Transport {
  list(): Promise<readonly Part[]>;
  look(id: string): Promise<Part>;
  begin(filename: string, content: string, size: number): Promise<Part>;
  send(id: string, offset: number, piece: Blob, onProgress: (bytes: number) => void, signal: AbortSignal): Promise<Part>;
  /** Until the file has its name. */
  finish(id: string, checksum: Checksum): Promise<void>;
  /** Tells the file of this name from an older or newer one; '' when there is none. */
  stamp(content: string, filename: string): Promise<string>;
}

/** A File, or anything of known size that can be read from the middle. */
export interface Source { readonly size: number; slice(from: number, to: number): Blob }

export interface Wanted {
  source: Source;
  filename: string;
  content: string;
  checksum?: Checksum | undefined;
  /** Goes on with this one and no other. */
  id?: string | undefined;
}

export type Step = 'checking' | 'sending' | 'waiting' | 'finishing';
export type Watch = (step: Step, done: number) => void;

const PIECE_BYTES = 16 * 2 ** 20; // the server takes 64 MiB; less is sent again when it is killed
const READ_BYTES = 2 ** 20;
const FIRST_WAIT_MS = 300, WAIT_MS_MAX = 5000;
const BUSY_TRIES = 12; // of a part that somebody sends to: it may be this browser's own, of before the reload

/** The file that was chosen is not the one whose beginning the server has. */
export class DifferentFile extends Error {}

/** It may work in a moment: no connection, a server that starts, a part that is still being put away. */
export const isPassing = (e: unknown): boolean => e instanceof ApiError && [0, 408, 409, 429, 502, 503, 504].includes(e.status);

const isGone = (e: unknown): boolean => e instanceof ApiError && e.status === 404;

/** Ends early when it is not wanted any more, or the browser says that there is a network again. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      globalThis.removeEventListener?.('online', end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
    globalThis.addEventListener?.('online', end);
  });
}

export class Sender {
  /** The server's name of it, from when it has one. */
  id: string;
  private hash = new Sha256(); // of what the server has, as far as is known
  /** What had the name before the end was asked for, when the answer to that was lost. */
  private before: string | null = null;

  constructor(private readonly wanted: Wanted, private readonly transport: Transport, private readonly watch: Watch,
    private readonly isTaken: (id: string) => boolean = () => false) {
    this.id = wanted.id ?? '';
  }

  /** Until the file has its name in the storage; goes on after losses until signal ends it. */
  async run(signal: AbortSignal): Promise<void> {
    this.before = null;
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 2, WAIT_MS_MAX)) {
      const length = this.hash.length;
      try {
        await this.attempt(signal);
        return;
      } catch (e) {
        signal.throwIfAborted();
        if (isGone(e) && await this.hasEnded())
          return;
        if (!isPassing(e))
          throw e;
        if (this.hash.length > length)
          wait = FIRST_WAIT_MS;
        this.watch('waiting', this.hash.length);
        await pause(wait, signal);
        signal.throwIfAborted();
      }
    }
  }

  /** A connection that broke at the very end: the part is gone because it has become the file. */
  private async hasEnded(): Promise<boolean> {
    if (this.before === null)
      return false;
    const now = await this.transport.stamp(this.wanted.content, this.wanted.filename).catch(() => '');
    return now !== '' && now !== this.before;
  }

  private async attempt(signal: AbortSignal): Promise<void> {
    this.watch('checking', this.hash.length);
    const part = this.id ? await this.takeUp(signal) : await this.findOrBegin(signal);
    this.id = part.id;
    for (let done = part.received; done < this.wanted.source.size;)
      done = await this.sendPiece(done, signal);
    await this.finish();
  }

  private async finish(): Promise<void> {
    const { source, content, filename, checksum } = this.wanted;
    this.watch('finishing', source.size);
    const before = await this.transport.stamp(content, filename);
    try {
      await this.transport.finish(this.id, checksum ?? { algorithm: 'sha256', value: this.hash.hex() });
    } catch (e) {
      if (isPassing(e))
        this.before = before;
      throw e;
    }
  }

  private async takeUp(signal: AbortSignal): Promise<Part> {
    const part = await this.transport.look(this.id).catch((e: unknown) => {
      if (isGone(e) && this.before === null)
        return null; // somebody deleted it, or it was too old
      throw e;
    });
    if (!part)
      return await this.findOrBegin(signal);
    if (part.busy)
      throw new ApiError(409, 'busy');
    if (!await this.isBeginning(part, signal))
      throw new DifferentFile(this.wanted.filename);
    return part;
  }

  private async findOrBegin(signal: AbortSignal): Promise<Part> {
    const { source, filename, content } = this.wanted;
    for (let i = 0; i < BUSY_TRIES; i++) {
      const all = await this.transport.list();
      const alike = all.filter((p) => p.filename === filename && p.content === content && p.size === source.size && !this.isTaken(p.id));
      for (const part of alike) {
        if (!part.busy && await this.isBeginning(part, signal))
          return part;
      }
      if (!alike.some((p) => p.busy))
        break;
      await pause(FIRST_WAIT_MS, signal);
      signal.throwIfAborted();
    }
    this.hash = new Sha256();
    return await this.transport.begin(filename, content, source.size);
  }

  /** Whether the part holds just the beginning of this file; the hash is of that then. */
  private async isBeginning(part: Part, signal: AbortSignal): Promise<boolean> {
    if (part.size !== this.wanted.source.size || part.received > part.size)
      return false;
    if (this.hash.length > part.received)
      this.hash = new Sha256();
    await this.read(this.hash, part.received, signal, (n) => this.watch('checking', n));
    return this.hash.hex() === part.sha256;
  }

  private async read(hash: Sha256, to: number, signal: AbortSignal, onRead: (n: number) => void = () => undefined): Promise<void> {
    while (hash.length < to) {
      const end = Math.min(to, hash.length + READ_BYTES);
      const bytes = new Uint8Array(await this.wanted.source.slice(hash.length, end).arrayBuffer());
      signal.throwIfAborted();
      hash.update(bytes);
      onRead(hash.length);
    }
  }

  private async sendPiece(from: number, signal: AbortSignal): Promise<number> {
    const to = Math.min(from + PIECE_BYTES, this.wanted.source.size);
    const hash = this.hash.clone();
    this.watch('sending', from);
    const [part] = await Promise.all([
      this.transport.send(this.id, from, this.wanted.source.slice(from, to), (n) => this.watch('sending', from + n), signal),
      this.read(hash, to, signal),
    ]);
    if (part.received !== to || part.sha256 !== hash.hex())
      throw new DifferentFile(this.wanted.filename);
    this.hash = hash;
    return to;
  }
}
