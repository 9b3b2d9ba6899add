// Several of many: boxes with a filter where there are more than fit.
import { useState } from 'preact/hooks';
import { t } from '../core/i18n.ts';

export interface Choice { id: string; text: string; detail?: string | undefined; isFixed?: boolean }

const FILTER_FROM = 9;

export function CheckList(p: { label: string; choices: readonly Choice[]; chosen: ReadonlySet<string>; onChange: (chosen: ReadonlySet<string>) => void; none: string }) {
  const [text, setText] = useState('');
  const wanted = text.trim().toLowerCase();
  const shown = p.choices.filter((c) => `${c.text} ${c.detail ?? ''}`.toLowerCase().includes(wanted));
  const toggle = (id: string): void => {
    const next = new Set(p.chosen);
    if (!next.delete(id))
      next.add(id);
    p.onChange(next);
  };
  return (
    <fieldset class="checklist">
      <legend>{p.label}</legend>
      {p.choices.length >= FILTER_FROM && <input type="search" class="checklist-filter" aria-label={t('access.filter')} placeholder={t('access.filter')} value={text} onInput={(e) => setText(e.currentTarget.value)} />}
      {p.choices.length === 0 && <p class="quiet">{p.none}</p>}
      <div class="checklist-items">
        {shown.map((c) => (
          <label key={c.id} class="check">
            <input type="checkbox" checked={p.chosen.has(c.id)} disabled={c.isFixed ?? false} onChange={() => toggle(c.id)} />
            <span>{c.text}{c.detail && <span class="field-help">{c.detail}</span>}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
