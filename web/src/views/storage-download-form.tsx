// A file of any address: asked for first, so that its name, size and kind are known before it is fetched.
import { useState } from 'preact/hooks';
import { ApiError, get, post } from '../core/api.ts';
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { nodePath, storagePath } from '../core/paths.ts';
import type { StorageConfig } from '../core/storages.ts';
import { act } from '../core/tasks.ts';
import { cleanName, guessKind, KIND_TEXTS, kindsOf, nameProblem, readChecksum, urlFile, type ContentKind, type Volume } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { EqualCall, quote } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Check, Field, Select } from '../parts/field.tsx';
import { Facts, Panel } from '../parts/small.tsx';

interface Metadata { filename?: string; mimetype?: string; size?: number }
interface Wanted { url: string; isVerified: boolean }
interface Target { filename: string; content: ContentKind; checksum: string; compression: '' | 'gz' | 'zst'; isUnpacked: boolean }

const FETCHED: readonly ContentKind[] = ['iso', 'import', 'vztmpl'];

function targetOf(wanted: Wanted, data: Metadata, kinds: readonly ContentKind[]): Target {
  const fromUrl = urlFile(wanted.url);
  const named = data.filename ? urlFile(`http://x/${encodeURIComponent(data.filename)}`) : fromUrl;
  const { name, compression } = named.name ? named : fromUrl;
  return { filename: cleanName(name), content: guessKind(name, kinds) ?? kinds[0] ?? 'iso', checksum: '', compression, isUnpacked: compression !== '' };
}

function valuesOf(w: Wanted, x: Target) {
  const checksum = readChecksum(x.checksum);
  return {
    url: w.url, content: x.content, filename: x.filename, checksum: checksum?.value, 'checksum-algorithm': checksum?.algorithm,
    compression: x.isUnpacked && x.content !== 'vztmpl' ? x.compression || undefined : undefined, 'verify-certificates': w.isVerified ? undefined : false,
  };
}

interface Props { node: string; config: StorageConfig; list: readonly Volume[] }

function Details(p: Props & { wanted: Wanted; data: Metadata; onStarted: () => void }) {
  const kinds = kindsOf(p.config.content).filter((k) => FETCHED.includes(k));
  const [x, setTarget] = useState(() => targetOf(p.wanted, p.data, kinds));
  const [error, setError] = useState<unknown>(null);
  const set = (c: Partial<Target>): void => setTarget((old) => ({ ...old, ...c }));
  const fields = error instanceof ApiError ? error.fields : {};
  const problem = nameProblem(x.filename, x.content);
  const hasChecksum = readChecksum(x.checksum) !== null;
  const isThere = p.list.some((v) => v.volid === `${p.config.storage}:${x.content}/${x.filename}`);
  const path = `${storagePath(p.node, p.config.storage)}/download-url`;
  const values = valuesOf(p.wanted, x);
  const start = async (event: Event): Promise<void> => {
    event.preventDefault();
    setError(null);
    try {
      const upid = await post<string>(path, values);
      p.onStarted();
      void act(t('task.download', { id: x.filename }), () => Promise.resolve(upid));
    } catch (e) {
      setError(e);
    }
  };
  const command = `holm storage download ${quote(p.config.storage)} --url ${quote(values.url)} --name ${quote(x.filename)} --content ${x.content}${values.checksum ? ` \\\n  --checksum-algorithm ${values['checksum-algorithm'] ?? ''} --checksum ${values.checksum}` : ''}${values.compression ? ` --compression ${values.compression}` : ''}${p.wanted.isVerified ? '' : ' --verify-certificates 0'}`;
  return (
    <form class="stack pad" onSubmit={(e) => void start(e)}>
      <Facts facts={[[t('storage.size'), p.data.size === undefined ? t('storage.download.sizeUnknown') : bytes(p.data.size)], [t('storage.download.mime'), p.data.mimetype ?? '–']]} />
      <div class="pair wide-first">
        <Field label={t('storage.name')} name="filename" value={x.filename} isRequired onInput={(filename) => set({ filename })}
          error={fields['filename'] ?? (problem ? t(problem === 'ending' ? 'storage.upload.badEnding' : 'storage.upload.badName') : undefined)}
          help={isThere ? t(hasChecksum ? 'storage.upload.replaces' : 'storage.download.exists') : undefined} />
        <Select label={t('storage.kind')} value={x.content} error={fields['content']} options={kinds.map((k) => [k, t(KIND_TEXTS[k].name)] as const)} onChange={(k) => set({ content: k as ContentKind })} />
      </div>
      <Field label={t('storage.checksum')} name="checksum" value={x.checksum} onInput={(checksum) => set({ checksum })}
        error={fields['checksum'] ?? (x.checksum.trim() && !hasChecksum ? t('storage.checksumBad') : undefined)}
        help={hasChecksum ? t('storage.checksumKnown', { algorithm: values['checksum-algorithm'] ?? '' }) : t('storage.checksumHelp')} />
      {x.compression && x.content !== 'vztmpl' && <Check label={t('storage.download.unpack', { format: x.compression })} value={x.isUnpacked} onChange={(isUnpacked) => set({ isUnpacked })} />}
      {error !== null && <ErrorBox error={error} />}
      <EqualCall method="POST" path={path} values={values} command={command} />
      <footer class="row dialog-foot"><Button type="submit" tone="main" icon="download" isDisabled={problem !== null || (x.checksum.trim() !== '' && !hasChecksum)}>{t('storage.download.start')}</Button></footer>
    </form>
  );
}

export function DownloadForm(p: Props) {
  const [url, setUrl] = useState('');
  const [isVerified, setVerified] = useState(true);
  const [asked, setAsked] = useState<{ wanted: Wanted; data: Metadata } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const clear = (): void => { setAsked(null); setError(null); };
  const ask = async (event: Event): Promise<void> => {
    event.preventDefault();
    clear();
    setBusy(true);
    const wanted = { url: url.trim(), isVerified };
    try {
      setAsked({ wanted, data: await get<Metadata>(`${nodePath(p.node)}/query-url-metadata`, { url: wanted.url, 'verify-certificates': isVerified }) });
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  const fields = error instanceof ApiError ? error.fields : {};
  return (
    <Panel title={t('storage.download.url')}>
      <form class="stack pad" onSubmit={(e) => void ask(e)}>
        <div class="url-row">
          <Field label={t('storage.download.address')} name="url" value={url} error={fields['url']} help={t('storage.download.addressHelp')} isRequired onInput={(v) => { setUrl(v); clear(); }} />
          <Button type="submit" icon="search" isBusy={isBusy} isDisabled={!url.trim()}>{t('storage.download.check')}</Button>
        </div>
        {url.trim().toLowerCase().startsWith('https:') && <Check label={t('storage.download.verify')} value={isVerified} onChange={(v) => { setVerified(v); clear(); }} />}
        {error !== null && <ErrorBox error={error} />}
      </form>
      {asked && <Details key={asked.wanted.url} {...p} wanted={asked.wanted} data={asked.data} onStarted={() => { clear(); setUrl(''); }} />}
    </Panel>
  );
}
