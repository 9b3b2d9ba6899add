// The part of noVNC that is used; the package brings no types.
declare module '@novnc/novnc' {
  export default class RFB extends EventTarget {
    constructor(target: HTMLElement, channel: WebSocket, options?: { shared?: boolean; credentials?: { password?: string } });
    scaleViewport: boolean;
    clipViewport: boolean;
    dragViewport: boolean;
    focusOnClick: boolean;
    background: string;
    qualityLevel: number;
    disconnect(): void;
    focus(options?: FocusOptions): void;
    blur(): void;
    /** Also the way that keys pressed by the user take. keysym: X's number of what the key gives, 0 for nothing. */
    sendKey(keysym: number | null, code: string, isDown?: boolean): void;
    toBlob(take: (blob: Blob | null) => void, type?: string): void;
  }
}
