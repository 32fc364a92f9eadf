// Bundles each view into one small script, and writes the loader that knows them:
//   node build.mjs [FOLDER]     (default: ../_static/live, which is committed)
// Classic scripts, not modules: a browser loads no module from file://.
import {createHash} from "node:crypto";
import {mkdirSync, readdirSync, readFileSync, rmSync} from "node:fs";
import {dirname, join, resolve} from "node:path";
import {fileURLToPath} from "node:url";
import {build} from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../_static/live"));
const views = readdirSync(join(here, "views")).filter((name) => name.endsWith(".js")).sort();
const options = {
  absWorkingDir: here,
  bundle: true,
  charset: "utf8",
  format: "iife",
  legalComments: "none",
  logLevel: "warning",
  minify: true,
  target: ["es2020"],
};

mkdirSync(out, {recursive: true});
for (const old of readdirSync(out)) if (old.endsWith(".js")) rmSync(join(out, old));

const versions = {};
for (const file of views) {
  const name = file.slice(0, -".js".length);
  await build({...options, entryPoints: [`views/${file}`], outfile: join(out, file)});
  // In the address, so that a browser that kept an old view asks for the new one.
  versions[name] = createHash("sha256").update(readFileSync(join(out, file))).digest("hex").slice(0, 8);
}
await build({
  ...options,
  entryPoints: ["loader.js"],
  outfile: join(out, "loader.js"),
  define: {VERSIONS: JSON.stringify(versions)},
});
