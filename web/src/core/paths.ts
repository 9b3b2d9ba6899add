// Paths of the API, made from names that users gave.
const e = encodeURIComponent;

export const nodePath = (node: string): string => `/nodes/${e(node)}`;
export const storagePath = (node: string, storage: string): string => `/nodes/${e(node)}/storage/${e(storage)}`;
/** Volume ids ("local:iso/x.iso") are one part of a path. */
export const volumePath = (node: string, storage: string, volid: string): string => `${storagePath(node, storage)}/content/${e(volid)}`;
export const taskPath = (upid: string): string => `/nodes/${e(upid.split(':')[1] ?? '')}/tasks/${e(upid)}`;
