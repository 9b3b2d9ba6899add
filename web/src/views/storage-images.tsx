// The catalogue of cloud images: what can be had, what is there already.
import { useState } from 'preact/hooks';
import { get, post } from '../core/api.ts';
import { ago, bytes, dateTime, hostOf } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { now } from '../core/live.ts';
import { nodePath } from '../core/paths.ts';
import { store } from '../core/store.ts';
import { act, outcome } from '../core/tasks.ts';
import { architecture, imageFile, imageTitle, type CloudImage, type Volume } from '../core/volumes.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall, quote } from '../parts/equal.tsx';
import { ErrorBox } from '../parts/error.tsx';
import { Facts, Panel, Tag } from '../parts/small.tsx';
import { State } from '../parts/state.tsx';
import { useLoad } from '../parts/use.ts';
import { mayFetch } from './storage-data.ts';

interface Props { node: string; storage: string; list: readonly Volume[] }

const isComing = (node: string, file: string): boolean =>
  store.tables.task.all().some(({ value: task }) => task.type === 'download' && task.node === node && task.upid.split(':')[6] === file && outcome(task) === 'running');

function Card({ image, node, there, onGet }: { image: CloudImage; node: string; there: Volume | undefined; onGet: () => void }) {
  const title = imageTitle(image.name);
  const isBusy = isComing(node, imageFile(image));
  return (
    <li class="card">
      <div class="grow">
        <h3>{title}</h3>
        <p class="row wrap tags"><Tag name={architecture(image.url) || image.format} />{architecture(image.url) && <Tag name={image.format} />}{image.source === 'own' && <Tag name={t('storage.images.own')} />}</p>
        <p class="quiet card-note">{there
          ? <span class="row"><State state="ok" isBare /><span title={there.ctime ? dateTime(there.ctime) : undefined}>{t('storage.images.there', { size: bytes(there.size), time: there.ctime ? ago(there.ctime, now.value) : '' })}</span></span>
          : hostOf(image.url)}</p>
      </div>
      <Button icon="download" isBusy={isBusy} tone={there ? 'ghost' : 'plain'} label={t(there ? 'storage.images.again' : 'storage.images.get', { name: title })} onClick={onGet} />
    </li>
  );
}

/** The catalogue does not know the size; the server that has the image does, if this node may ask it. */
function useSize(node: string, storage: string, url: string): string {
  const mayAsk = mayFetch(node, storage);
  const found = useLoad(url, '', () => (mayAsk ? get<{ size?: number }>(`${nodePath(node)}/query-url-metadata`, { url }) : Promise.resolve({ size: undefined })));
  return found.value?.size ? bytes(found.value.size) : found.value || found.error || !mayAsk ? t('storage.download.sizeUnknown') : '…';
}

function GetDialog(p: Props & { image: CloudImage; isThere: boolean; onClose: () => void }) {
  const { image, storage } = p;
  const path = `${nodePath(p.node)}/images`;
  const values = { image: image.name, storage };
  const size = useSize(p.node, storage, image.url);
  const start = async (): Promise<void> => {
    const upid = await post<string>(path, values);
    void act(t('task.download', { id: imageFile(image) }), () => Promise.resolve(upid));
  };
  return (
    <FormDialog title={t('storage.images.get', { name: imageTitle(image.name) })} submit={t('storage.download.start')} onSubmit={start} onClose={p.onClose}>
      {() => <>
        {p.isThere && <p>{t('storage.images.replaces', { name: imageFile(image) })}</p>}
        <Facts facts={[[t('storage.name'), imageFile(image)], [t('storage.size'), size], [t('storage.checksum.from'), `${image['checksum-algorithm']} · ${hostOf(image['checksum-url'])}`]]} />
        <p class="mono break">{image.url}</p>
        <p class="quiet">{t('storage.images.trust')}</p>
        <EqualCall method="POST" path={path} values={values} command={`holm image get ${quote(image.name)} --storage ${quote(storage)}`} />
      </>}
    </FormDialog>
  );
}

export function CloudImages(p: Props) {
  const { value, error, reload } = useLoad(`images ${p.node}`, '', () => get<CloudImage[]>(`${nodePath(p.node)}/images`));
  const [wanted, setWanted] = useState<CloudImage | null>(null);
  const thereOf = (image: CloudImage): Volume | undefined => p.list.find((v) => v.volid === `${p.storage}:import/${imageFile(image)}`);
  return (
    <Panel title={t('storage.images.title')}>
      <p class="quiet pad-sides">{t('storage.images.help')}</p>
      {error !== null && <div class="pad"><ErrorBox error={error} onRetry={reload} /></div>}
      {value?.length === 0 && <p class="quiet pad">{t('storage.images.none')}</p>}
      <ul class="cards">{(value ?? []).map((image) => <Card key={image.name} image={image} node={p.node} there={thereOf(image)} onGet={() => setWanted(image)} />)}</ul>
      {wanted && <GetDialog {...p} image={wanted} isThere={thereOf(wanted) !== undefined} onClose={() => setWanted(null)} />}
    </Panel>
  );
}
