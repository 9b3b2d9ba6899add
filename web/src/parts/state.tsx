// States by colour and by shape, so that neither is needed alone; the word stands beside them or is read aloud.
import { t, type Key } from '../core/i18n.ts';

type Tone = 'good' | 'calm' | 'warn' | 'bad' | 'info';
interface Look { tone: Tone; text: Key; shape: string; isFilled: boolean }

const LOOKS: Readonly<Record<string, Look>> = {
  running: { tone: 'good', text: 'state.running', shape: 'M3.5 2v8L10 6z', isFilled: true },
  online: { tone: 'good', text: 'state.online', shape: 'M3.5 2v8L10 6z', isFilled: true },
  available: { tone: 'good', text: 'state.available', shape: 'm2 6.3 2.8 2.9L10 3.2', isFilled: false },
  ok: { tone: 'good', text: 'state.ok', shape: 'm2 6.3 2.8 2.9L10 3.2', isFilled: false },
  stopped: { tone: 'calm', text: 'state.stopped', shape: 'M2.5 2.5h7v7h-7z', isFilled: false },
  paused: { tone: 'warn', text: 'state.paused', shape: 'M4 2.5v7M8 2.5v7', isFilled: false },
  'io-error': { tone: 'warn', text: 'state.io-error', shape: 'M6 1.5 11 10H1zM6 4.8v2', isFilled: false },
  panicked: { tone: 'bad', text: 'state.panicked', shape: 'M6 .8 11.2 6 6 11.2.8 6z', isFilled: true },
  suspended: { tone: 'warn', text: 'state.suspended', shape: 'M4 2.5v7M8 2.5v7', isFilled: false },
  warning: { tone: 'warn', text: 'state.warning', shape: 'M6 1.5 11 10H1zM6 4.8v2', isFilled: false },
  failed: { tone: 'bad', text: 'state.failed', shape: 'M6 .8 11.2 6 6 11.2.8 6z', isFilled: true },
  offline: { tone: 'bad', text: 'state.offline', shape: 'M6 .8 11.2 6 6 11.2.8 6z', isFilled: true },
  busy: { tone: 'info', text: 'state.busy', shape: 'M6 1.5a4.5 4.5 0 1 1-4.5 4.5', isFilled: false },
};
const UNKNOWN: Look = { tone: 'calm', text: 'state.unknown', shape: 'M6 1.5a4.5 4.5 0 1 0 .01 0M6 6h.01', isFilled: false };

/** word: in place of the state's own, where that says more. */
export function State({ state, isBare, word }: { state: string; isBare?: boolean; word?: string }) {
  const look = LOOKS[state] ?? UNKNOWN;
  const text = word ?? (LOOKS[state] ? t(look.text) : state || t('state.unknown'));
  return (
    <span class={`state ${look.tone}${state === 'busy' ? ' turning' : ''}`} title={isBare ? text : undefined}>
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
        <path d={look.shape} fill={look.isFilled ? 'currentColor' : 'none'} stroke="currentColor" stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round" />
      </svg>
      <span class={isBare ? 'hidden-text' : undefined}>{text}</span>
    </span>
  );
}
