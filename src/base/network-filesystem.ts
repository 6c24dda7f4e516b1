import { statfsSync } from "node:fs";

/** Names of filesystems on which several hosts see one file, by the magic number of statfs(2). */
const networkFilesystems: ReadonlyMap<number, string> = new Map([
  [0x6969, "NFS"],
  [0x0bd00bd0, "Lustre"],
  [0x47504653, "GPFS"],
  [0xff534d42, "CIFS"],
  [0xfe534d42, "SMB"],
  [0x19830326, "BeeGFS"],
  [0x00c36400, "Ceph"],
  [0x5346414f, "AFS"],
  [0x01021997, "9p"],
  [0x65735546, "FUSE"],
]);

/** The name of the network filesystem that holds a folder; undefined for a local one. */
export function networkFilesystemOf(folder: string): string | undefined {
  return networkFilesystems.get(statfsSync(folder).type >>> 0);
}
