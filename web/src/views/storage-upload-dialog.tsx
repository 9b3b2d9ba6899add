// Chosen files, before they are sent: what each is, what it will be called, and the checksum that its maker published.
import { useMemo, useState } from 'preact/hooks';
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { addUpload } from '../core/uploads.ts';
import { cleanName, guessKind, KIND_TEXTS, nameProblem, readChecksum, type ContentKind } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall, quote } from '../parts/equal.tsx';
import { Field, Select } from '../parts/field.tsx';
import { uploadsPath } from '../core/upload-http.ts';
import { useContent } from './storage-data.ts';

interface Chosen { file: File; filename: string; content: ContentKind; checksum: string }

function problem(c: Chosen): string | undefined {
  const found = nameProblem(c.filename, c.content);
  return found === null ? undefined : t(found === 'ending' ? 'storage.upload.badEnding' : 'storage.upload.badName');
}

const checksumProblem = (c: Chosen): string | undefined => (c.checksum.trim() && !readChecksum(c.checksum) ? t('storage.checksumBad') : undefined);

function Row(p: { chosen: Chosen; kinds: readonly ContentKind[]; isTaken: boolean; onChange: (c: Partial<Chosen>) => void; onDrop: (() => void) | null }) {
  const c = p.chosen;
  const known = readChecksum(c.checksum);
  return (
    <fieldset class="file-row">
      <legend class="row"><span class="grow ellipsis">{c.file.name} <span class="quiet num">{bytes(c.file.size)}</span></span>
        {p.onDrop && <Button tone="ghost" icon="close" label={t('storage.upload.leaveOut', { name: c.file.name })} onClick={p.onDrop} />}</legend>
      <div class="pair wide-first">
        <Field label={t('storage.name')} value={c.filename} error={problem(c)} help={p.isTaken ? t('storage.upload.replaces') : undefined} isRequired onInput={(filename) => p.onChange({ filename })} />
        <Select label={t('storage.kind')} value={c.content} options={p.kinds.map((k) => [k, t(KIND_TEXTS[k].name)] as const)} onChange={(k) => p.onChange({ content: k as ContentKind })} />
      </div>
      <Field label={t('storage.checksum')} value={c.checksum} error={checksumProblem(c)} help={known ? t('storage.checksumKnown', { algorithm: known.algorithm }) : t('storage.checksumHelp')} onInput={(checksum) => p.onChange({ checksum })} />
    </fieldset>
  );
}

interface Props { node: string; storage: string; kinds: readonly ContentKind[]; files: readonly File[]; onClose: () => void }

export function UploadDialog({ node, storage, kinds, files, onClose }: Props) {
  const first = kinds[0] ?? 'iso';
  const [list, setList] = useState<readonly Chosen[]>(() => files.map((file) => ({ file, filename: cleanName(file.name), content: guessKind(file.name, kinds) ?? first, checksum: '' })));
  const there = useContent(node, storage).value;
  const names = useMemo(() => new Set((there ?? []).map((v) => v.volid)), [there]);
  const change = (at: number, c: Partial<Chosen>): void => setList((old) => old.map((x, i) => (i === at ? { ...x, ...c } : x)));
  const start = async (): Promise<void> => {
    if (list.some((c) => problem(c) || checksumProblem(c)))
      throw new Error(t('storage.upload.fix'));
    for (const { file, filename, content, checksum } of list)
      addUpload({ node, storage, file, filename, content, checksum: readChecksum(checksum) ?? undefined });
  };
  const one = list.length === 1 ? list[0] : undefined;
  return (
    <FormDialog title={t('storage.upload.title', { n: list.length, storage })} submit={t('storage.tab.upload')} onSubmit={start} onClose={onClose}>
      {() => <>
        {list.map((c, i) => <Row key={c.file.name} chosen={c} kinds={kinds} isTaken={names.has(`${storage}:${c.content}/${c.filename}`)}
          onChange={(x) => change(i, x)} onDrop={list.length > 1 ? () => setList((old) => old.filter((x) => x !== c)) : null} />)}
        {one && <EqualCall method="POST" path={uploadsPath(node, storage)} values={{ filename: one.filename, content: one.content, size: one.file.size }}
          command={`holm storage upload ${quote(one.file.name)} --storage ${quote(storage)} --content ${one.content}`} />}
      </>}
    </FormDialog>
  );
}
