// A file of the guest, read and written by its agent.
import { useState } from 'preact/hooks';
import { get, post } from '../core/api.ts';
import { agentPath, bytesAsText, textAsBase64 } from '../core/agent.ts';
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import type { Guest } from '../core/store.ts';
import { act } from '../core/tasks.ts';
import { Button } from '../parts/button.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Field, TextArea } from '../parts/field.tsx';
import { saveFile } from '../parts/save-text.ts';
import { Panel } from '../parts/small.tsx';

interface Content { content: string; truncated?: boolean }

/** text null: the file is no text, and can be saved here but not edited. */
interface Open { path: string; data: string; text: string | null; isCut: boolean }

const saveHere = (open: Open): void => saveFile(open.path.split(/[\\/]/).pop() || 'file', [Uint8Array.from(open.data, (c) => c.charCodeAt(0))]);

export function AgentFiles({ guest, mayRead, mayWrite }: { guest: Guest; mayRead: boolean; mayWrite: boolean }) {
  const [path, setPath] = useState('');
  const [text, setText] = useState('');
  const [open, setOpen] = useState<Open | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const read = async (): Promise<void> => {
    setBusy(true);
    setError(null);
    try {
      const { content, truncated } = await get<Content>(`${agentPath(guest)}/file-read`, { file: path });
      const found = bytesAsText(content);
      setOpen({ path, data: content, text: found, isCut: truncated ?? false });
      setText(found ?? '');
    } catch (e) {
      setOpen(null);
      setError(e);
    }
    setBusy(false);
  };
  const write = (): Promise<boolean> =>
    act(t('agent.file.write', { path }), () => post(`${agentPath(guest)}/file-write`, { file: path, content: textAsBase64(text), encode: false }));
  const isCut = open?.path === path && (open.isCut || open.text === null); // writing would lose what is not shown
  return (
    <Panel title={t('agent.file')}>
      <form class="stack pad" onSubmit={(e) => { e.preventDefault(); if (mayRead) void read(); }}>
        <Field label={t('agent.file.path')} name="path" value={path} onInput={setPath} help={t('agent.file.help')} isRequired />
        {mayRead && <div class="row"><Button type="submit" isBusy={isBusy} isDisabled={!path}>{t('agent.file.read')}</Button>
          {open && <Button icon="download" onClick={() => saveHere(open)}>{t('agent.file.save')}</Button>}
          {open && <span class="quiet num">{bytes(open.data.length)}</span>}</div>}
        {error !== null && <ErrorBox error={error} />}
        {open?.isCut && <p class="warn-text">{t('agent.file.cut')}</p>}
        {open?.text === null && <p class="quiet">{t('agent.file.binary')}</p>}
        {open?.text !== null && <div class="file-text"><TextArea label={t('agent.file.content')} value={text} onInput={setText} /></div>}
        {mayWrite && <div class="row"><Button tone="main" isDisabled={!path || isCut} onClick={() => void write()}>{t('agent.file.writeIt')}</Button></div>}
      </form>
    </Panel>
  );
}
