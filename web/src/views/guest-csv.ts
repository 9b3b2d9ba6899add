// The listed guests as a file for a spreadsheet: the columns that are shown, values as numbers and not as words.
import { asCsv } from '../core/csv.ts';
import type { Guest } from '../core/store.ts';
import { saveText } from '../parts/save-text.ts';
import type { Column } from '../parts/table.tsx';

export function saveGuests(guests: readonly Guest[], columns: readonly Column<Guest>[]): void {
  const known = columns.filter((c) => c.sort);
  saveText('guests.csv', asCsv([known.map((c) => c.field ?? c.id), ...guests.map((g) => known.map((c) => c.sort?.(g)))]), 'text/csv');
}
