// What every step is given: the draft with its blanks filled, what there is to choose from, what is wrong.
import { useMemo } from 'preact/hooks';
import { get } from '../core/api.ts';
import { newNic, stepsOf, suggestedName, type Draft, type Step } from '../core/create.ts';
import { problemsOf, type Problems } from '../core/create-check.ts';
import { draft, isComplained, password, refused } from '../core/create-draft.ts';
import { limited, mayBridge, mayNew, settled, usablePools, type Offer, type OfferedBridge, type OfferedStorage } from '../core/create-offer.ts';
import { requestOf, type Request } from '../core/create-request.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { canGuest } from '../core/perms.ts';
import { store } from '../core/store.ts';
import { outcome } from '../core/tasks.ts';
import { nodeNames } from '../parts/pickers.tsx';
import { useLoad } from '../parts/use.ts';

export interface Wizard {
  d: Draft;
  offer: Offer;
  steps: readonly Step[];
  request: Request;
  problems: Problems;
  /** The name that is used when none is typed. */
  suggested: string;
  /** The template has a drive of cloud-init. */
  hasDrive: boolean;
  may: (privilege: string) => boolean;
  /** What is to be said at a field. */
  wrong: (field: string) => string | undefined;
}

type Loaded = Omit<Offer, 'templates'>;

async function load(node: string): Promise<Loaded> {
  const [nextid, storages, bridges, pools] = await Promise.all([
    get<string | number>('/cluster/nextid'),
    get<OfferedStorage[]>(`${nodePath(node)}/storage`, { enabled: 1, format: 1 }),
    get<OfferedBridge[]>(`${nodePath(node)}/network`, { type: 'any_bridge' }),
    get<{ poolid: string }[]>('/pools'),
  ]);
  return { node, nextid: String(nextid), storages, bridges: bridges.filter((b) => mayBridge(b.iface)), pools: usablePools(pools.map((p) => p.poolid)) };
}

/** Changes with each task that ends: uploads and downloads bring volumes. */
export const doneTasks = (): string => String(store.tables.task.all().filter((row) => outcome(row.value) !== 'running').length);

interface TemplateFacts { hasDrive: boolean; nics: number }

function factsOf(config: Readonly<Record<string, string | number>>): TemplateFacts {
  const entries = Object.entries(config);
  return {
    hasDrive: entries.some(([key, value]) => /^(scsi|virtio|sata|ide)\d+$/.test(key) && /-cloudinit\.raw|:cloudinit/.test(String(value))),
    nics: entries.filter(([key]) => /^net\d+$/.test(key)).length,
  };
}

const noTemplate: TemplateFacts = { hasDrive: false, nics: 1 };

/** A template has its interfaces already: they can be given addresses. */
const withNics = (d: Draft, facts: TemplateFacts): Draft =>
  d.source === 'template' ? { ...d, nics: Array.from({ length: facts.nics }, (_, i) => d.nics[i] ?? newNic(d)) } : d;

export function useWizard(): { wizard: Wizard | null; error: unknown; reload: () => void } {
  const node = draft.value.node || nodeNames()[0] || '';
  const { value, error, reload } = useLoad(`offer ${node}`, String(store.tables.guest.ids.value.length), () => (node ? load(node) : Promise.resolve(null)));
  const template = draft.value.source === 'template' ? draft.value.template : '';
  const facts = useLoad(`template ${template}`, '', () => (template ? get<Record<string, string | number>>(`${nodePath(node)}/qemu/${template}/config`).then(factsOf) : Promise.resolve(noTemplate))).value ?? noTemplate;
  const templates = store.tables.guest.all().map((row) => row.value).filter((g) => g.template && canGuest(g.vmid, 'VM.Clone'));
  const wizard = useMemo((): Wizard | null => {
    if (!value)
      return null;
    const offer: Offer = { ...value, templates };
    const d = withNics(limited(settled(draft.value, offer)), facts);
    const may = (privilege: string): boolean => mayNew(d, privilege);
    const suggested = suggestedName(d, d.vmid, templates.find((g) => String(g.vmid) === d.template)?.name ?? '');
    const problems = problemsOf(d, offer, (vmid) => store.tables.guest.row(vmid) !== undefined);
    const wrong = (field: string): string | undefined => {
      const own = problems[field];
      return refused.value[field] ?? (own && (!own.isMissing || isComplained.value) ? t(own.text) : undefined);
    };
    return { d, offer, steps: stepsOf(d), request: requestOf(d, suggested, password.value, may, facts.hasDrive), problems, suggested, hasDrive: facts.hasDrive, may, wrong };
  }, [value, draft.value, password.value, refused.value, isComplained.value, facts, templates.length]);
  return { wizard, error, reload };
}
