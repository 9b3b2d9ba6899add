// A program run in the guest by its agent, with what it said.
import { useEffect, useRef, useState } from 'preact/hooks';
import { get, post } from '../core/api.ts';
import { agentPath, bytesAsText, splitWords, type ExecStatus } from '../core/agent.ts';
import { t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Field, Select, TextArea } from '../parts/field.tsx';
import { Panel } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';

const LOOK_MS = 400;
const WAIT_MS = 120_000;

interface Ended extends ExecStatus { line: string }

const SHELLS: Readonly<Record<string, (line: string) => string[]>> = {
  none: splitWords,
  sh: (line) => ['/bin/sh', '-c', line],
  powershell: (line) => ['powershell.exe', '-NoProfile', '-Command', line],
};

async function runIn(guest: Guest, words: readonly string[], input: string, isWanted: () => boolean): Promise<ExecStatus> {
  const values = new URLSearchParams(words.map((word) => ['command', word]));
  if (input)
    values.set('input-data', input);
  const { pid } = await post<{ pid: number }>(`${agentPath(guest)}/exec`, values);
  for (const end = Date.now() + WAIT_MS; ;) {
    const status = await get<ExecStatus>(`${agentPath(guest)}/exec-status`, { pid });
    if (status.exited)
      return status;
    if (Date.now() > end || !isWanted())
      throw new Error(t('agent.exec.long', { pid }));
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
}

function Output({ title, data, isCut }: { title: string; data: string | undefined; isCut: boolean | undefined }) {
  if (!data)
    return null;
  return <div class="code-box"><h3>{title}{!!isCut && <span class="warn-text"> {t('agent.exec.cut')}</span>}</h3><pre class="code" tabIndex={0} aria-label={title}>{bytesAsText(data) ?? data}</pre></div>;
}

function Result({ ended }: { ended: Ended }) {
  const isGood = ended.exitcode === 0;
  return (
    <div class="stack" role="status">
      <p class="row wrap"><State state={isGood ? 'ok' : 'failed'} isBare /><code>{ended.line}</code><span class="quiet">{ended.signal !== undefined ? t('agent.exec.signal', { n: ended.signal }) : t('agent.exec.code', { n: ended.exitcode ?? 0 })}</span></p>
      <Output title={t('agent.exec.out')} data={ended['out-data']} isCut={ended['out-truncated']} />
      <Output title={t('agent.exec.err')} data={ended['err-data']} isCut={ended['err-truncated']} />
    </div>
  );
}

export function AgentExec({ guest }: { guest: Guest }) {
  const [line, setLine] = useState('');
  const [shell, setShell] = useState('none');
  const [input, setInput] = useState('');
  const [isBusy, setBusy] = useState(false);
  const [ended, setEnded] = useState<Ended | null>(null);
  const [error, setError] = useState<unknown>(null);
  const isShown = useRef(true);
  useEffect(() => () => { isShown.current = false; }, []);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const words = (SHELLS[shell] ?? splitWords)(line);
    if (isBusy || !words.length)
      return;
    setBusy(true);
    setError(null);
    setEnded(null);
    try {
      setEnded({ ...await runIn(guest, words, input, () => isShown.current), line });
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  return (
    <Panel title={t('agent.exec')}>
      <form class="stack pad" onSubmit={(e) => void submit(e)}>
        <Field label={t('agent.exec.line')} name="line" value={line} onInput={setLine} help={t('agent.exec.help')} isRequired />
        <Select label={t('agent.exec.with')} value={shell} onChange={setShell} options={[['none', t('agent.exec.direct')], ['sh', '/bin/sh'], ['powershell', 'PowerShell']]} />
        <details class="equal"><summary>{t('agent.exec.input')}</summary><TextArea label={t('agent.exec.input')} value={input} onInput={setInput} /></details>
        <div class="row"><Button type="submit" tone="main" icon="play" isBusy={isBusy} isDisabled={!line.trim()}>{t('agent.exec.run')}</Button></div>
        {error !== null && <ErrorBox error={error} />}
        {ended && <Result ended={ended} />}
      </form>
    </Panel>
  );
}
