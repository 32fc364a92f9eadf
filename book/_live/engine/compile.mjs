// Compiles kernels.ts to WebAssembly and writes it into kernels.js: npm run kernels, after a change.
// The compiler comes from npm, 100 MB of it, so it is fetched for this alone.
import {execFileSync} from "node:child_process";
import {createHash} from "node:crypto";
import {mkdtempSync, readFileSync, writeFileSync} from "node:fs";
import {tmpdir} from "node:os";
import {join} from "node:path";

const COMPILER = "assemblyscript@0.28.20";
const OPTIONS = ["-O3", "--runtime", "stub", "--enable", "simd", "--importMemory", "--noAssert"];

const here = import.meta.dirname;
const source = readFileSync(join(here, "kernels.ts"));
const out = join(mkdtempSync(join(tmpdir(), "kernels-")), "kernels.wasm");
const compile = ["--yes", "--package", COMPILER, "asc", "kernels.ts", "-o", out, ...OPTIONS];
execFileSync("npx", compile, {cwd: here, stdio: "inherit"});
const hash = createHash("sha256").update(source).digest("hex").slice(0, 16);
writeFileSync(
  join(here, "kernels.js"),
  `// kernels.ts (sha256 ${hash}) as WebAssembly, by compile.mjs. Not to be edited.\n` +
    `export default "${readFileSync(out).toString("base64")}";\n`,
);
