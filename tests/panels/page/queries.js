// What Prometheus answers to the targets of a panel, as Grafana's data frames.
import { FieldType, renderLegendFormat, toDataFrame } from '@grafana/data';

export async function framesOf(panel, { dashboard, prometheus, from, to, scrape, width }) {
  const step = Math.max(scrape, Math.ceil((to - from) / width));
  // as Grafana does it: four scrapes, or one more than a step
  const variables = { __rate_interval: `${Math.max(step + scrape, 4 * scrape)}s` };
  for (const { name, allValue } of dashboard.templating.list) {
    variables[name] = allValue;
  }
  const answers = panel.targets.map(async ({ expr, instant, legendFormat }) => {
    const query = expr.replace(/\$(\w+)/g, (_, name) => variables[name]);
    if (instant) {
      const found = await ask(prometheus, 'query', { query, time: to });
      return found.map(({ metric, value: [, text] }) => frame(metric, legendFormat, { times: [to], values: [+text] }));
    }
    const found = await ask(prometheus, 'query_range', { query, start: from, end: to, step });
    return found.map(({ metric, values }) => frame(metric, legendFormat, spread(values, { from, to, step })));
  });
  return (await Promise.all(answers)).flat();
}

async function ask(prometheus, path, parameters) {
  const answer = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const { status, error, data } = await answer.json();
  if (status !== 'success') {
    throw new Error(error);
  }
  return data.result;
}

// Every step has a time. Where nothing was scraped, or nothing was divided by nothing, a line has a gap.
function spread(found, { from, to, step }) {
  const times = Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => from + index * step);
  const values = times.map(() => null);
  for (const [time, text] of found) {
    values[Math.round((time - from) / step)] = Number.isFinite(+text) ? +text : null;
  }
  return { times, values };
}

function frame({ __name__: name = 'Value', ...labels }, legendFormat, { times, values }) {
  const displayNameFromDS = renderLegendFormat(legendFormat, labels);
  return toDataFrame({
    fields: [
      { name: 'Time', type: FieldType.time, values: times.map((seconds) => seconds * 1000) },
      { name, labels, type: FieldType.number, values, config: { displayNameFromDS } },
    ],
  });
}
