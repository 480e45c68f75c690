/** Where a server listens: `10.8.0.2:7443`, `[fd00::2]:7443`. The port is always there. */
export function formatAddress({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
