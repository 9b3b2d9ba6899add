// One line on the storage screens while something is sent: whither, how far, how fast.
import { bytes, percent } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { allUploads, isGoing, type Upload } from '../core/uploads.ts';
import { State } from '../parts/state.tsx';
import { storageHref } from './storage-columns.tsx';

const sum = (list: readonly Upload[], of: (u: Upload) => number): number => list.reduce((n, u) => n + of(u), 0);

function Line({ list }: { list: readonly Upload[] }) {
  const first = list[0];
  if (!first)
    return null;
  const size = sum(list, (u) => u.size), rate = sum(list, (u) => u.rate);
  return (
    <a class="uploads-line row" href={storageHref(first.node, first.storage, 'upload')}>
      <State state="busy" isBare />
      <span class="grow ellipsis">{t('storage.upload.line', { n: list.length, storage: first.storage })}</span>
      <span class="num">{percent(size ? sum(list, (u) => u.done) / size : 0)}</span>
      {rate > 0 && <span class="num quiet">{bytes(rate)}/s</span>}
    </a>
  );
}

export function UploadsLine() {
  const going = allUploads().map((row) => row.value).filter(isGoing);
  const targets = [...new Set(going.map((u) => `${u.node}/${u.storage}`))];
  return <>{targets.map((target) => <Line key={target} list={going.filter((u) => `${u.node}/${u.storage}` === target)} />)}</>;
}
