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
// A script that runs in a worker is text in the script of its view: import text from "worker:./NAME.js".
const inWorker = {
  name: "worker",
  setup({onLoad, onResolve}) {
    onResolve({filter: /^worker:/}, ({path, resolveDir}) => ({
      namespace: "worker",
      path: join(resolveDir, path.slice("worker:".length)),
    }));
    onLoad({filter: /.*/, namespace: "worker"}, async ({path}) => {
      const {outputFiles} = await build({...options, plugins: [], entryPoints: [path], write: false});
      return {contents: outputFiles[0].text, loader: "text"};
    });
  },
};
const options = {
  absWorkingDir: here,
  bundle: true,
  charset: "utf8",
  format: "iife",
  legalComments: "none",
  logLevel: "warning",
  minify: true,
  plugins: [inWorker],
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
