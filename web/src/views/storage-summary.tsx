// A storage at a glance: how full, of what, how it is set, and how its use went.
import { bytes } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { storagePath } from '../core/paths.ts';
import { parseProperties } from '../core/property.ts';
import type { StorageConfig } from '../core/storages.ts';
import { KIND_TEXTS, KINDS, isKind, type ContentKind, type Volume } from '../core/volumes.ts';
import { Charts } from '../parts/charts.tsx';
import { Facts, Meter, Panel } from '../parts/small.tsx';
import { Contents, storageHref } from './storage-columns.tsx';
import { mayLook, usageOf, useContent, type StorageEntry } from './storage-data.ts';

function Use({ entry }: { entry: StorageEntry }) {
  const { state, used, total } = usageOf(entry);
  return (
    <div class="storage-use">
      <p><span class="big num">{state === 'available' ? bytes(Math.max(0, total - used)) : '–'}</span> <span class="quiet">{t('storage.free')}</span></p>
      <Meter value={used} max={total} label={t('storage.use')} text={t('of', { part: bytes(used), all: bytes(total) })} />
    </div>
  );
}

interface Sum { kind: ContentKind; n: number; size: number }

/** What a volume takes: a thin image less than its size. */
function sums(list: readonly Volume[]): Sum[] {
  const out = new Map<ContentKind, Sum>();
  for (const v of list) {
    const kind = isKind(v.content) ? v.content : 'images';
    const old = out.get(kind) ?? { kind, n: 0, size: 0 };
    out.set(kind, { kind, n: old.n + 1, size: old.size + (v.used ?? v.size) });
  }
  return KINDS.flatMap((k) => out.get(k) ?? []);
}

function Kinds({ entry }: { entry: StorageEntry }) {
  const { node, config } = entry;
  const list = useContent(node, config.storage).value;
  if (!list)
    return null;
  if (!list.length)
    return <p class="quiet pad-sides">{t('storage.content.empty')}</p>;
  return (
    <ul class="kind-list">
      {sums(list).map((s) => (
        <li key={s.kind}><a href={`${storageHref(node, config.storage, 'content')}?kind=${s.kind}`}>{t(KIND_TEXTS[s.kind].many)}</a>
          <span class="num quiet">{t('storage.volumes', { n: s.n })}</span><span class="num">{bytes(s.size)}</span></li>
      ))}
    </ul>
  );
}

function limitText(config: StorageConfig): string {
  const parts = [...parseProperties(config.bwlimit ?? '', 'default')];
  return parts.map(([name, kib]) => `${t(name === 'clone' ? 'storage.limit.clone' : name === 'move' ? 'storage.limit.move' : 'storage.limit.default')}: ${bytes(Number(kib) * 1024)}/s`).join(', ');
}

function settings(config: StorageConfig): [string, string | preact.JSX.Element][] {
  const mount = config.is_mountpoint;
  return [
    [t('storage.path'), <span class="mono">{config.path}</span>], [t('storage.type'), config.type], [t('storage.nodes'), config.nodes ?? t('storage.allNodes')],
    [t('storage.shared'), config.shared ? t('yes') : t('no')],
    [t('storage.format'), config.format ?? 'raw'],
    ...(config.preallocation === 'falloc' ? [[t('storage.preallocation'), t('storage.preallocationFalloc')] as [string, string]] : []),
    ...(mount && mount !== 'no' ? [[t('storage.mountpoint'), mount === 'yes' ? t('storage.mountpointYes') : mount] as [string, string]] : []),
    ...(config.nocow ? [[t('storage.nocow'), t('yes')] as [string, string]] : []),
    ...(config.bwlimit ? [[t('storage.limits'), limitText(config)] as [string, string]] : []),
  ];
}

export function StorageSummary({ entry }: { entry: StorageEntry }) {
  const { node, config } = entry;
  const isSeen = mayLook(config.storage) && !config.disable;
  return (
    <>
      <div class="board">
        {!config.disable && (
          <Panel title={t('storage.use')}>
            <Use entry={entry} />
            {isSeen && <Kinds entry={entry} />}
          </Panel>
        )}
        <Panel title={t('storage.settings')}>
          <Facts facts={settings(config)} />
          <div class="pad-sides setting-content"><p class="quiet">{t('storage.content')}</p><Contents content={config.content} /></div>
        </Panel>
      </div>
      {isSeen && <Charts path={storagePath(node, config.storage)} charts={[
        { title: t('storage.space'), unit: 'bytes', lines: [{ field: 'used', label: t('storage.used') }, { field: 'total', label: t('storage.total') }] },
      ]} />}
    </>
  );
}
