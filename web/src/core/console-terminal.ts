// A serial port of the guest in a terminal: xterm.js, and the protocol around it (console-protocol.ts). Imported when a
// terminal is opened.
import { FitAddon } from '@xterm/addon-fit';
import { Terminal as Xterm, type ITheme } from '@xterm/xterm';
import { signal } from '@preact/signals';
import type { Opened, Link } from './console.ts';
import type { Device, Modifier, Pasting } from './console-device.ts';
import { Greeting, hello, inputMessages, isAnswer, keepAlive, resizeMessage, withControl } from './console-protocol.ts';

const KEEP_ALIVE_MS = 30_000;
const HISTORY_MS = 400; // what comes so soon after the OK was written before
const FONT_SIZE = 14, FONT_SIZE_MIN = 8, FONT_SIZE_MAX = 28;
const UNUSED_REFUSAL = 1006;

/** The page's colours as they are on the terminal's own surface, which is dark in either theme. */
function themeOf(surface: HTMLElement): ITheme {
  const probe = surface.appendChild(document.createElement('i'));
  const colour = (name: string): string => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const ink = colour('--ink'), page = colour('--sunken');
  const theme: ITheme = {
    background: page, foreground: ink, cursor: ink, cursorAccent: page, selectionBackground: colour('--line-strong'),
    red: colour('--bad'), green: colour('--good'), yellow: colour('--warn'), blue: colour('--info'), cyan: colour('--accent'),
    brightRed: colour('--bad'), brightGreen: colour('--good'), brightYellow: colour('--warn'), brightBlue: colour('--info'), brightCyan: colour('--accent'),
    scrollbarSliderBackground: colour('--line'), scrollbarSliderHoverBackground: colour('--line-strong'), scrollbarSliderActiveBackground: colour('--line-strong'),
  };
  probe.remove();
  return theme;
}

const ARROWS: Readonly<Record<string, string>> = { ArrowUp: 'A', ArrowDown: 'B', ArrowRight: 'C', ArrowLeft: 'D', Home: 'H', End: 'F' };
const KEYS: Readonly<Record<string, string>> = { Escape: '\x1b', Tab: '\t', Enter: '\r', Backspace: '\x7f', PageUp: '\x1b[5~', PageDown: '\x1b[6~', Delete: '\x1b[3~' };

export class Terminal implements Device {
  readonly held = signal<ReadonlySet<Modifier>>(new Set());
  readonly hasSelection = signal(false);
  private readonly xterm: Xterm;
  private readonly fit = new FitAddon();
  private readonly watcher: ResizeObserver;
  private socket: WebSocket | null = null;
  /** What the guest asked while it wrote its history has been answered long ago. */
  private isHistory = false;

  constructor(target: HTMLElement, label: string) {
    this.xterm = new Xterm({
      theme: themeOf(target), fontFamily: getComputedStyle(target).getPropertyValue('--mono'), fontSize: FONT_SIZE,
      scrollback: 10_000, cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches, minimumContrastRatio: 4.5,
    });
    this.xterm.loadAddon(this.fit);
    this.xterm.open(target);
    this.xterm.textarea?.setAttribute('aria-label', label);
    this.xterm.onData((data) => this.onData(data));
    this.xterm.onResize(({ cols, rows }) => this.send(resizeMessage(cols, rows)));
    this.xterm.onSelectionChange(() => { this.hasSelection.value = this.xterm.hasSelection(); });
    this.xterm.attachCustomKeyEventHandler((e) => !this.copies(e));
    this.watcher = new ResizeObserver(() => this.fit.fit());
    this.watcher.observe(target);
  }

  /** Ctrl+C is the guest's; with Shift it copies, as terminals do. */
  private copies(e: KeyboardEvent): boolean {
    if (e.code !== 'KeyC' || !e.ctrlKey || !e.shiftKey || !this.xterm.hasSelection())
      return false;
    e.preventDefault();
    if (e.type === 'keydown')
      void navigator.clipboard.writeText(this.xterm.getSelection()).catch(() => undefined);
    return true;
  }

  private send(data: Uint8Array<ArrayBuffer>): void {
    if (this.socket?.readyState === WebSocket.OPEN)
      this.socket.send(data);
  }

  private onData(data: string): void {
    if (this.isHistory && isAnswer(data))
      return;
    const held = this.held.peek();
    const changed = held.has('Control') && [...data].length === 1 ? withControl(data) : data;
    if (held.size)
      this.held.value = new Set();
    inputMessages(held.has('Alt') ? `\x1b${changed}` : changed).forEach((m) => this.send(m));
  }

  attach({ socket, ticket }: Opened, link: Link): () => void {
    const greeting = new Greeting();
    const alive = setInterval(() => this.send(keepAlive()), KEEP_ALIVE_MS);
    let isRefused = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const begin = (): void => {
      this.xterm.reset(); // the server tells what was written before
      this.isHistory = true;
      timer = setTimeout(() => this.xterm.write('', () => { this.isHistory = false; }), HISTORY_MS);
      this.socket = socket;
      this.fit.fit();
      this.send(resizeMessage(this.xterm.cols, this.xterm.rows));
      link.onOpen();
    };
    socket.onopen = (): void => socket.send(hello(ticket.user, ticket.ticket));
    socket.onmessage = (event: MessageEvent<ArrayBuffer>): void => {
      const wasDone = greeting.isDone;
      const rest = wasDone ? new Uint8Array(event.data) : greeting.take(new Uint8Array(event.data));
      if (!rest) {
        isRefused = true;
        socket.close();
        return;
      }
      if (!wasDone && greeting.isDone)
        begin();
      if (rest.length)
        this.xterm.write(rest); // bytes: it keeps a character that two frames share
    };
    const end = (): void => {
      clearInterval(alive);
      clearTimeout(timer);
      if (this.socket === socket)
        this.socket = null;
    };
    socket.onclose = (event): void => { end(); link.onClose(isRefused ? UNUSED_REFUSAL : event.code); };
    return () => { end(); socket.onclose = socket.onmessage = null; socket.close(); };
  }

  async paste(text: string, how: Pasting): Promise<void> {
    this.xterm.paste(text);
    how.onPart(1);
  }

  input(text: string): void {
    this.xterm.input(text);
  }

  press(codes: readonly string[]): void {
    for (const code of codes) {
      const arrow = ARROWS[code];
      const text = arrow ? `\x1b${this.xterm.modes.applicationCursorKeysMode ? 'O' : '['}${arrow}` : KEYS[code];
      if (text)
        this.xterm.input(text);
    }
  }

  selection(): string {
    return this.xterm.getSelection();
  }

  size(): { rows: number; columns: number } {
    return { rows: this.xterm.rows, columns: this.xterm.cols };
  }

  focus(): void {
    this.xterm.focus();
  }

  zoom(level: number): void {
    this.xterm.options.fontSize = Math.max(FONT_SIZE_MIN, Math.min(FONT_SIZE_MAX, FONT_SIZE + 2 * level));
    this.fit.fit();
  }

  readAloud(isOn: boolean): void {
    this.xterm.options.screenReaderMode = isOn;
  }

  dispose(): void {
    this.watcher.disconnect();
    this.socket?.close();
    this.xterm.dispose();
  }
}
