// Choosing a path of the ACL: suggested from what there is, but anything that the server knows can be typed.
import { t } from '../core/i18n.ts';
import { store } from '../core/store.ts';
import { Suggest, type Suggestion } from '../parts/suggest.tsx';
import { useGroups, usePools, useRealms } from './access-data.ts';

const TOPS: readonly string[] = ['/', '/vms', '/storage', '/pool', '/nodes', '/access', '/access/groups', '/access/realm', '/sdn', '/sdn/zones/localnetwork', '/mapping'];

/** What a path stands for, where it is a guest. */
export function pathText(path: string): string {
  const vmid = /^\/vms\/(\d+)$/.exec(path)?.[1];
  return vmid ? store.tables.guest.row(vmid)?.value.name ?? '' : '';
}

export function usePaths(): Suggestion[] {
  const pools = usePools().value ?? [], groups = useGroups().value ?? [], realms = useRealms().value ?? [];
  const storages = new Set(store.tables.storage.all().map((s) => s.value.storage));
  return [
    ...TOPS.map((path) => [path, ''] as const),
    ...store.tables.guest.all().map((g) => [`/vms/${g.value.vmid}`, g.value.name] as const),
    ...[...storages].map((s) => [`/storage/${s}`, ''] as const),
    ...pools.map((p) => [`/pool/${p.poolid}`, p.comment ?? ''] as const),
    ...store.tables.node.all().map((n) => [`/nodes/${n.value.node}`, ''] as const),
    ...groups.map((g) => [`/access/groups/${g.groupid}`, g.comment ?? ''] as const),
    ...realms.map((r) => [`/access/realm/${r.realm}`, ''] as const),
  ];
}

export function PathField(p: { value: string; onInput: (value: string) => void; error?: string | undefined; hasFocus?: boolean }) {
  const paths = usePaths();
  return <Suggest label={t('access.path')} help={pathText(p.value) || t('access.pathHelp')} value={p.value} onInput={p.onInput} error={p.error} suggestions={paths} isRequired hasFocus={p.hasFocus ?? false} />;
}

/** Without doubled and closing slashes, as the server keeps it. */
export const normalPath = (text: string): string => `/${text.split('/').filter(Boolean).join('/')}`;
