// One input with its label, help and what the server said of it.
import { useId } from 'preact/hooks';
import type { ComponentChildren } from 'preact';

interface Common {
  label: string;
  help?: string | undefined;
  error?: string | undefined;
}

interface FieldProps extends Common {
  name?: string;
  value: string;
  onInput: (value: string) => void;
  type?: 'text' | 'password' | 'number';
  autocomplete?: string;
  inputmode?: 'text' | 'numeric';
  isRequired?: boolean;
  hasFocus?: boolean;
}

function Around(p: Common & { id: string; children: ComponentChildren }) {
  return (
    <div class={p.error ? 'field wrong' : 'field'}>
      <label for={p.id}>{p.label}</label>
      {p.children}
      {p.error ? <p class="field-error" id={`${p.id}-e`}>{p.error}</p> : p.help && <p class="field-help" id={`${p.id}-e`}>{p.help}</p>}
    </div>
  );
}

export function Field(p: FieldProps) {
  const id = useId();
  const rest = {
    id, name: p.name, value: p.value, autocomplete: p.autocomplete ?? 'off', inputMode: p.inputmode, required: p.isRequired ?? false,
    autofocus: p.hasFocus ?? false, spellcheck: false, 'aria-invalid': p.error ? true : undefined,
    'aria-describedby': p.error || p.help ? `${id}-e` : undefined,
    onInput: (e: { currentTarget: HTMLInputElement }) => p.onInput(e.currentTarget.value),
  };
  const input = p.type === 'password' ? <input type="password" {...rest} /> : p.type === 'number' ? <input type="number" {...rest} /> : <input type="text" {...rest} />;
  return <Around id={id} label={p.label} help={p.help} error={p.error}>{input}</Around>;
}

export function TextArea(p: Common & { value: string; onInput: (value: string) => void; hasFocus?: boolean }) {
  const id = useId();
  return (
    <Around id={id} label={p.label} help={p.help} error={p.error}>
      <textarea id={id} rows={3} value={p.value} autofocus={p.hasFocus ?? false} onInput={(e) => p.onInput(e.currentTarget.value)} />
    </Around>
  );
}

export function Select(p: Common & { value: string; options: readonly (readonly [string, string])[]; onChange: (value: string) => void }) {
  const id = useId();
  return (
    <Around id={id} label={p.label} help={p.help} error={p.error}>
      <select id={id} value={p.value} onChange={(e) => p.onChange(e.currentTarget.value)}>
        {p.options.map(([value, text]) => <option key={value} value={value} selected={value === p.value}>{text}</option>)}
      </select>
    </Around>
  );
}

export function Check(p: { label: string; help?: string; value: boolean; onChange: (value: boolean) => void }) {
  return (
    <label class="check">
      <input type="checkbox" checked={p.value} onChange={(e) => p.onChange(e.currentTarget.checked)} />
      <span>{p.label}{p.help && <span class="field-help">{p.help}</span>}</span>
    </label>
  );
}
