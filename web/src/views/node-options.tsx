// Settings of the node that Holm keeps.
import { useState } from 'preact/hooks';
import { get, put, type Values } from '../core/api.ts';
import { duration } from '../core/format.ts';
import { t } from '../core/i18n.ts';
import { nodePath } from '../core/paths.ts';
import { can } from '../core/perms.ts';
import { formatProperties, parseProperties } from '../core/property.ts';
import { Button } from '../parts/button.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { EqualCall } from '../parts/equal.tsx';
import { Field, TextArea } from '../parts/field.tsx';
import { Loading } from '../parts/loading.tsx';
import { Facts, Panel } from '../parts/small.tsx';
import { useLoad } from '../parts/use.ts';

interface Config { description?: string; 'startall-onboot-delay'?: number; location?: string; digest?: string }
const DELAY = 'startall-onboot-delay';

/** What is empty now is taken away. */
function changesOf(old: Config, now: Readonly<Record<'description' | 'location' | typeof DELAY, string>>): Values {
  const values: Record<string, string> = {};
  const gone: string[] = [];
  for (const key of ['description', DELAY, 'location'] as const) {
    if (now[key] !== '')
      values[key] = now[key];
    else if (old[key] !== undefined)
      gone.push(key);
  }
  return { ...values, delete: gone.join(',') || undefined };
}

function OptionsDialog({ path, value, onDone, onClose }: { path: string; value: Config; onDone: () => void; onClose: () => void }) {
  const [description, setDescription] = useState(value.description ?? '');
  const [delay, setDelay] = useState(String(value[DELAY] ?? ''));
  const [place, setPlace] = useState(() => parseProperties(value.location ?? '', 'name'));
  const set = (key: string) => (v: string): void => setPlace(new Map([...place, [key, v]]));
  const location = formatProperties(['latitude', 'longitude', 'name'].map((k) => [k, place.get(k)] as const), '');
  const values = changesOf(value, { description, location, [DELAY]: delay });
  const submit = async (): Promise<void> => { await put(path, { ...values, digest: value.digest }); onDone(); };
  return (
    <FormDialog title={t('node.options.title')} submit={t('save')} onSubmit={submit} onClose={onClose}>
      {(fields) => <>
        <TextArea label={t('key.description')} value={description} onInput={setDescription} error={fields['description']} />
        <Field label={t('node.options.delay')} type="number" value={delay} onInput={setDelay} error={fields[DELAY]} help={t('node.options.delayHelp')} />
        <div class="pair"><Field label={t('node.options.latitude')} value={place.get('latitude') ?? ''} onInput={set('latitude')} error={fields['location']} /><Field label={t('node.options.longitude')} value={place.get('longitude') ?? ''} onInput={set('longitude')} /></div>
        <Field label={t('node.options.place')} value={place.get('name') ?? ''} onInput={set('name')} />
        <EqualCall method="PUT" path={path} values={values} />
      </>}
    </FormDialog>
  );
}

export function NodeOptions({ node }: { node: string }) {
  const path = `${nodePath(node)}/config`;
  const mayRead = can('/', 'Sys.Audit');
  const config = useLoad(`${path} ${mayRead}`, '', () => (mayRead ? get<Config>(path) : Promise.resolve(null)));
  const [isOpen, setOpen] = useState(false);
  if (!mayRead)
    return null;
  const tools = can('/', 'Sys.Modify') && config.value && <Button tone="ghost" icon="edit" label={t('config.edit', { what: t('node.options.title') })} onClick={() => setOpen(true)} />;
  return (
    <Panel title={t('node.options.title')} tools={tools}>
      <Loading of={config}>{(c) => c && <Facts facts={[
        [t('key.description'), c.description ? <span class="notes">{c.description}</span> : '–'],
        [t('node.options.delay'), duration(c[DELAY] ?? 0)], [t('node.options.location'), c.location ? [...parseProperties(c.location, 'name').values()].join(', ') : '–'],
      ]} />}</Loading>
      {isOpen && config.value && <OptionsDialog path={path} value={config.value} onDone={config.reload} onClose={() => setOpen(false)} />}
    </Panel>
  );
}
