// The steps of a dry run and of a task's log in words.
import { isRecord } from './api.ts';
import { bytes } from './format.ts';
import { t, type Key } from './i18n.ts';

export interface PlanStep { step: string; args: Readonly<Record<string, unknown>> }

/** The steps of the server's journal (src/guest/steps.c, block_steps.c). One that is not here is shown as it came. */
const TEXTS: Readonly<Record<string, Key>> = {
  'volume.create': 'plan.create', 'volume.copy': 'plan.copy', 'volume.fork': 'plan.fork', 'volume.delete': 'plan.delete', 'volume.grow': 'plan.grow', 'volume.rename': 'plan.rename',
  'volume.freeze': 'plan.freeze', 'volume.unfreeze': 'plan.unfreeze', 'volume.reset': 'plan.reset', 'volume.merge': 'plan.merge', 'volume.replace': 'plan.replace',
};

/** Steps of whole volumes: what they call a layer is the number that it gets. */
const IS_WHOLE: ReadonlySet<string> = new Set(['volume.freeze', 'volume.unfreeze', 'volume.reset']);

/** A volume with its layer, a file of the server, a number. */
function text(value: unknown): string {
  if (!isRecord(value))
    return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
  return `${text(value['volume'] ?? value['path'])}${value['layer'] === undefined ? '' : ` @${text(value['layer'])}`}`;
}

export function stepText({ step, args }: PlanStep): string {
  const key = TEXTS[step];
  if (!key)
    return `${step} ${JSON.stringify(args)}`;
  const volume = text(IS_WHOLE.has(step) ? args['volume'] : args);
  return t(key, { volume, layer: text(args['layer']), from: text(args['from']), to: text(args['to']), size: typeof args['size'] === 'number' ? bytes(args['size']) : '' });
}

/** A line of a task's log. Where it names a step of the plan ("step 0 volume.create {…}"), in words. */
export function logText(line: string): string {
  const found = /^step (\d+) (\S+) (\{.*\})$/.exec(line);
  try {
    return found ? `${Number(found[1]) + 1}. ${stepText({ step: found[2] ?? '', args: JSON.parse(found[3] ?? '') as PlanStep['args'] })}` : line;
  } catch {
    return line;
  }
}
