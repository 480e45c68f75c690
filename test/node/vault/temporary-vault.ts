import { onTestFinished } from 'vitest';
import { VaultFixture } from './fixture.js';

/** The folder of a vault, which is removed when the test is over, after its hooks. */
export async function temporaryVault(): Promise<VaultFixture> {
  const fixture = await VaultFixture.make();
  onTestFinished(() => fixture.remove());
  return fixture;
}
