// QEMU's own monitor, line by line: for who knows its commands.
import { useEffect, useRef, useState } from 'preact/hooks';
import { post } from '../core/api.ts';
import { guestPath } from '../core/guests.ts';
import { t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import { errorText } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { Panel } from '../parts/small.tsx';

interface Said { command: string; answer: string; isError: boolean }

const KEPT = 200;
const SUGGESTED = ['help', 'info status', 'info block', 'info network', 'info registers'] as const;

export default function GuestMonitor({ guest }: { guest: Guest }) {
  const [said, setSaid] = useState<readonly Said[]>([]);
  const [line, setLine] = useState('');
  const [back, setBack] = useState(0); // how many commands ago
  const [isBusy, setBusy] = useState(false);
  const end = useRef<HTMLSpanElement>(null);
  useEffect(() => end.current?.scrollIntoView({ block: 'nearest' }), [said.length]);
  const ask = async (command: string): Promise<void> => {
    if (!command.trim() || isBusy)
      return;
    setBusy(true);
    const done = await post<string>(`${guestPath(guest)}/monitor`, { command })
      .then((answer): Said => ({ command, answer, isError: false }), (e: unknown): Said => ({ command, answer: errorText(e), isError: true }));
    setSaid((old) => [...old, done].slice(-KEPT));
    setBusy(false);
    setLine('');
    setBack(0);
  };
  const recall = (event: KeyboardEvent): void => {
    const step = event.key === 'ArrowUp' ? 1 : event.key === 'ArrowDown' ? -1 : 0;
    const next = Math.max(0, Math.min(said.length, back + step));
    if (!step || next === back)
      return;
    event.preventDefault();
    setBack(next);
    setLine(next ? (said.at(-next)?.command ?? '') : '');
  };
  return (
    <Panel title={t('monitor.title')}>
      <p class="pad quiet">{guest.status === 'running' ? t('monitor.help') : t('agent.notRunning')}</p>
      <pre class="log monitor" tabIndex={0} aria-label={t('monitor.said')} role="log">
        {said.map((s, i) => <span key={i}><strong>(qemu) {s.command}</strong>{'\n'}<span class={s.isError ? 'bad-text' : undefined}>{s.answer.trimEnd()}</span>{'\n'}</span>)}<span ref={end} />
      </pre>
      <form class="row pad" onSubmit={(e) => { e.preventDefault(); void ask(line); }}>
        <label class="hidden-text" for="monitor-line">{t('monitor.line')}</label>
        <input id="monitor-line" class="grow mono" type="text" value={line} autocomplete="off" spellcheck={false} list="monitor-known" placeholder="info status" onInput={(e) => setLine(e.currentTarget.value)} onKeyDown={recall} />
        <datalist id="monitor-known">{SUGGESTED.map((s) => <option key={s} value={s} />)}</datalist>
        <Button type="submit" tone="main" isBusy={isBusy} isDisabled={guest.status !== 'running'}>{t('monitor.send')}</Button>
      </form>
    </Panel>
  );
}
