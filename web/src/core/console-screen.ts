// The guest's screen: noVNC, and the keys on their way to it (console-keys.ts). Imported when a screen is opened.
import RFB from '@novnc/novnc';
import { signal } from '@preact/signals';
import type { Opened, Link } from './console.ts';
import type { Device, Modifier, Pasting } from './console-device.ts';
import { DEFAULT_LAYOUT, hasCharacter, keysymOf, strokesOf, type Stroke } from './console-keys.ts';

const SHIFTS = ['ShiftLeft', 'ShiftRight'];
const STROKE_MS = 30; // QEMU hands keys on one each 10 ms, and a keyboard's buffer in the guest has 16 places
const ON_MODIFIERS = /^(?:Shift|Control|Alt|Meta)(?:Left|Right)$/;

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** What the user chose; read at each key. */
export interface KeyOptions {
  /** The guest's `keyboard`: the table that QEMU looks keys up in. */
  table: string;
  /** The guest's own layout, to type characters; '': keys are passed on by their places. */
  layout: string;
}

/** noVNC's client with keys sent our way: its handling of events, with all that browsers do to them, stays. */
class Client extends RFB {
  /** The present event of the keyboard, and what the browser says the key gives. */
  event = { code: '', key: '' };
  private readonly down = new Set<string>();
  private readonly options: () => KeyOptions;

  constructor(target: HTMLElement, opened: Opened, options: () => KeyOptions) {
    super(target, opened.socket, { shared: true, credentials: { password: opened.ticket.password ?? '' } });
    this.options = options;
  }

  override sendKey(keysym: number | null, code: string, isDown?: boolean): void {
    if (isDown === undefined) {
      this.sendKey(keysym, code, true);
      this.sendKey(keysym, code, false);
    } else if (this.isTyped(code)) {
      if (isDown)
        for (const stroke of strokesOf(this.event.key, this.options().layout) ?? [])
          this.stroke(stroke);
    } else {
      this.send(code, isDown, keysym ?? 0);
    }
  }

  /** A key that gives a character, in the mode that wants characters. noVNC also sends keys of its own (locks). */
  private isTyped(code: string): boolean {
    return this.options().layout !== '' && code === (this.event.code || 'Unidentified') && [...this.event.key].length === 1;
  }

  /** Nothing stays pressed in the guest when the keyboard goes to something else. */
  release(): void {
    for (const code of [...this.down])
      this.send(code, false);
  }

  /** A key by its place; `otherwise` is for keys that no table knows. */
  send(code: string, isDown: boolean, otherwise = 0): void {
    if (isDown)
      this.down.add(code);
    else
      this.down.delete(code);
    const isKnown = hasCharacter(code) || code === 'AltRight';
    super.sendKey((isKnown || !otherwise ? keysymOf(code, this.options().table || DEFAULT_LAYOUT) : 0) || otherwise, code, isDown);
  }

  /** With Shift and AltGr as the stroke wants them; what the user holds is held again afterwards. */
  stroke(stroke: Stroke): void {
    const held = [...this.down].filter((code) => SHIFTS.includes(code) || code === 'AltRight');
    const wrong = held.filter((code) => (code === 'AltRight' ? !stroke.altgr : !stroke.shift));
    const extra = [
      ...(stroke.shift && !held.some((code) => SHIFTS.includes(code)) ? ['ShiftLeft'] : []),
      ...(stroke.altgr && !held.includes('AltRight') ? ['AltRight'] : []),
    ];
    wrong.forEach((code) => this.send(code, false));
    extra.forEach((code) => this.send(code, true));
    this.send(stroke.code, true);
    this.send(stroke.code, false);
    extra.reverse().forEach((code) => this.send(code, false));
    wrong.forEach((code) => this.send(code, true));
  }
}

export class Screen implements Device {
  readonly held = signal<ReadonlySet<Modifier>>(new Set());
  readonly hasSelection = signal(false);
  private client: Client | null = null;
  private isFit = true;
  private readonly target: HTMLElement;
  private readonly label: string;
  private readonly options: () => KeyOptions;
  private readonly listening = new AbortController();

  constructor(target: HTMLElement, label: string, options: () => KeyOptions) {
    this.target = target;
    this.label = label;
    this.options = options;
    const { signal: stop } = this.listening;
    // Before noVNC sees them, which listens on the canvas itself.
    for (const kind of ['keydown', 'keyup'] as const)
      target.addEventListener(kind, (e) => { if (this.client) this.client.event = { code: e.code, key: e.key }; }, { capture: true, signal: stop });
    target.addEventListener('keydown', (e) => { if (!ON_MODIFIERS.test(e.code)) this.hold(true); }, { capture: true, signal: stop });
    target.addEventListener('focusout', () => this.client?.release(), { signal: stop });
    target.addEventListener('keyup', (e) => { if (!ON_MODIFIERS.test(e.code)) this.hold(false); }, { signal: stop });
  }

  attach(opened: Opened, link: Link): () => void {
    this.target.replaceChildren(); // the last picture of an older connection
    let code = 1006;
    opened.socket.addEventListener('close', (e) => { code = e.code; });
    const client = new Client(this.target, opened, this.options);
    client.background = 'transparent';
    client.addEventListener('connect', () => { this.dress(); link.onOpen(); });
    client.addEventListener('disconnect', () => {
      if (this.client === client)
        this.client = null;
      link.onClose(code);
    });
    this.client = client;
    this.zoom(this.isFit ? 1 : 0);
    return () => { this.client = null; client.disconnect(); };
  }

  /** The canvas can be reached by keyboard and has a name. */
  private dress(): void {
    const canvas = this.target.querySelector('canvas');
    canvas?.setAttribute('role', 'application');
    canvas?.setAttribute('aria-label', this.label);
    if (canvas)
      canvas.tabIndex = 0;
  }

  async paste(text: string, how: Pasting): Promise<void> {
    const chars = [...text.replaceAll('\r\n', '\n').normalize('NFC')];
    for (const [i, char] of chars.entries()) {
      for (const stroke of strokesOf(char, how.layout) ?? []) {
        if (how.stop.aborted || !this.client)
          return;
        this.client.stroke(stroke);
        await pause(STROKE_MS);
      }
      how.onPart((i + 1) / chars.length);
    }
  }

  input(text: string): void {
    const { layout, table } = this.options();
    this.hold(true);
    for (const stroke of [...text].flatMap((char) => strokesOf(char, layout || table || DEFAULT_LAYOUT) ?? []))
      this.client?.stroke(stroke);
    this.hold(false);
  }

  press(codes: readonly string[]): void {
    this.hold(true);
    codes.forEach((code) => this.client?.send(code, true));
    codes.toReversed().forEach((code) => this.client?.send(code, false));
    this.hold(false);
  }

  private hold(isDown: boolean): void {
    for (const name of this.held.peek())
      this.client?.send(`${name}Left`, isDown);
    if (!isDown && this.held.peek().size)
      this.held.value = new Set();
  }

  selection(): string {
    return '';
  }

  size(): null {
    return null;
  }

  readAloud(): void {
    // a picture
  }

  focus(): void {
    this.client?.focus({ preventScroll: true });
  }

  zoom(level: number): void {
    this.isFit = level !== 0;
    if (!this.client)
      return;
    this.client.scaleViewport = this.isFit;
    // Where there is no wheel and no scroll bar, a finger moves the picture.
    this.client.clipViewport = this.client.dragViewport = !this.isFit && matchMedia('(pointer: coarse)').matches;
  }

  dispose(): void {
    this.listening.abort();
    this.client?.disconnect();
    this.client = null;
    this.target.replaceChildren();
  }
}
