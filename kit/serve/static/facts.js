// Beside the verdict: who is at work, what the window holds, what is excused and why.

import { age, element } from "./format.js";
import { runTime, some } from "./verdict.js";
import { reason, word } from "./words.js";

function streamer(beat, nowMs) {
  if (!beat) return [false, word("streamer_none")];
  const seconds = (nowMs - Date.parse(beat.written_at)) / 1000;
  if (!beat.running) return [false, word("streamer_ended", { age: age(seconds) })];
  if (!beat.alive) return [false, word("streamer_silent", { age: age(seconds) })];
  const delivering = word("streamer_alive", { have: beat.delivering_streams, want: beat.wanted_streams });
  if (beat.disk_error) return [false, `${delivering}; ${word("disk_error", { error: beat.disk_error })}`];
  return [beat.delivering_streams === beat.wanted_streams, delivering];
}

function worker(market) {
  const last = market.worker.last_run_time;
  if (last === null) return [false, word("worker_none")];
  const words = word(market.worker.alive ? "worker_alive" : "worker_silent");
  return [market.worker.alive, element("span", {}, `${words} `, runTime(market, last))];
}

function excused(record) {
  const byReason = Map.groupBy(Object.entries(record.excused), ([, why]) => why);
  const lines = [...byReason].map(([why, entries]) =>
    element("li", {}, element("em", {}, reason(why)), ` ${some(entries.map(([symbol]) => symbol))}`),
  );
  return lines.length ? element("ul", {}, ...lines) : word("none");
}

function fact(name, content, sound = true) {
  return element("div", { class: sound ? "fact" : "fact bad", "data-fact": name },
    element("dt", {}, word(name)), element("dd", {}, content));
}

export function facts(market, nowMs) {
  const [streamerSound, streamerText] = streamer(market.streamer, nowMs);
  const [workerSound, workerText] = worker(market);
  const { known, complete, run_times: all } = market.window;
  const found = [
    fact("streamer", streamerText, streamerSound),
    fact("worker", workerText, workerSound),
    fact("window", word("window_complete", { complete, all }), known === complete),
  ];
  if (market.clock_off_ms !== null) {
    found.push(fact("clock", word("clock_off", { seconds: market.clock_off_ms / 1000 }), false));
  }
  if (market.history) found.push(fact("history", word("filling", market.history)));
  if (market.record) {
    const { by_stream: stream, by_rest: rest } = market.record;
    found.push(fact("sources", word("sources_of", { stream, rest })));
    found.push(fact("excused", excused(market.record)));
  }
  found.push(fact("folder", market.base_dir));
  return found;
}
