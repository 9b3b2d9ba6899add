// A field with suggestions that need not be taken: the browser's own list.
import { useId } from 'preact/hooks';

export type Suggestion = readonly [value: string, text: string];

export function Suggest(p: {
  label: string; value: string; onInput: (value: string) => void; suggestions: readonly Suggestion[];
  help?: string | undefined; error?: string | undefined; isRequired?: boolean; hasFocus?: boolean;
}) {
  const id = useId();
  const note = p.error ?? p.help;
  return (
    <div class={p.error ? 'field wrong' : 'field'}>
      <label for={id}>{p.label}</label>
      <input id={id} type="text" list={`${id}-l`} value={p.value} required={p.isRequired ?? false} autofocus={p.hasFocus ?? false} autocomplete="off" spellcheck={false}
        aria-invalid={p.error ? true : undefined} aria-describedby={note ? `${id}-e` : undefined} onInput={(e) => p.onInput(e.currentTarget.value)} />
      <datalist id={`${id}-l`}>{p.suggestions.map(([value, text]) => <option key={value} value={value}>{text}</option>)}</datalist>
      {note && <p class={p.error ? 'field-error' : 'field-help'} id={`${id}-e`}>{note}</p>}
    </div>
  );
}
