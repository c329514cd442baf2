// Draws a dashboard at once, without Grafana: its panels, in its grid and its dark theme, with its components.
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { ThemeContext, createTheme, dateTime, getFieldDisplayValues, getValueFormats, makeTimeRange } from '@grafana/data';
import { BigValue, GlobalStyles, PanelChrome, TimeSeries, VizRepeater } from '@grafana/ui';
import { flushSync } from 'react-dom';
import { createRoot } from 'react-dom/client';

import { applied, withDefaults } from './field_options.js';
import { framesOf } from './queries.js';
import { StateTimeline } from './state_timeline.jsx';

const CELL = 30; // the grid of Grafana: 24 columns, rows of 30 pixels, gaps of 8
const GAP = 8;
const theme = createTheme({ colors: { mode: 'dark' } });
const timeZone = 'utc';
const units = new Set(getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => value)));

// `given`: dashboard, prometheus, from, to and scrape (seconds), width (pixels)
window.draw = async (given) => {
  const panels = await Promise.all(given.dashboard.panels.map((panel) => answered(panel, given)));
  await Promise.all(['400 14px Inter', '500 14px Inter'].map((font) => document.fonts.load(font)));
  const timeRange = makeTimeRange(dateTime(given.from * 1000), dateTime(given.to * 1000));
  const root = createRoot(document.getElementById('dashboard'));
  flushSync(() => root.render(<Dashboard panels={panels} timeRange={timeRange} width={given.width} />));
  for (let frame = 0; frame < 10; frame += 1) { // a chart is drawn a frame or two behind its legend, which is measured
    await new Promise(requestAnimationFrame);
  }
  window.drawn = panels.filter(({ type }) => type !== 'row').map(report);
};

async function answered(panel, given) {
  if (panel.type === 'row') {
    return panel;
  }
  const fieldConfig = withDefaults(panel);
  try {
    const data = await framesOf(panel, given);
    return { ...panel, fieldConfig, frames: applied(fieldConfig, { data, theme, timeZone }) };
  } catch (error) {
    return { ...panel, fieldConfig, frames: [], error: String(error) };
  }
}

function Dashboard({ panels, timeRange, width }) {
  const column = (width - GAP) / 24;
  const height = GAP + Math.max(...panels.map(({ gridPos: { y, h } }) => y + h)) * (CELL + GAP);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ position: 'relative', width, height }}>
        {panels.map((panel) => {
          const { x, y, w, h } = panel.gridPos;
          const size = { width: w * column - GAP, height: h * (CELL + GAP) - GAP };
          const place = { position: 'absolute', left: GAP + x * column, top: GAP + y * (CELL + GAP), ...size };
          return (
            <div key={panel.id} id={`panel-${panel.id}`} style={place}>
              {panel.type === 'row' ? <h5>{panel.title}</h5> : <Panel panel={panel} timeRange={timeRange} {...size} />}
            </div>
          );
        })}
      </div>
    </ThemeContext.Provider>
  );
}

function Panel({ panel, timeRange, width, height }) {
  const { title, description, error, frames } = panel;
  const Drawing = DRAWINGS[panel.type];
  return (
    <PanelChrome title={title} description={description} statusMessage={error} width={width} height={height}>
      {(innerWidth, innerHeight) => (
        <div className="drawing" style={{ position: 'relative', width: innerWidth, height: innerHeight }}>
          {frames.length || panel.type === 'stat'
            ? <Drawing panel={panel} frames={frames} timeRange={timeRange} width={innerWidth} height={innerHeight} />
            : <div style={{ textAlign: 'center', lineHeight: `${innerHeight}px` }}>No data</div>}
        </div>
      )}
    </PanelChrome>
  );
}

const DRAWINGS = { timeseries: Lines, 'state-timeline': States, stat: Stat };

function Lines({ panel, ...given }) {
  return <TimeSeries {...given} timeZone={timeZone} legend={panel.options.legend} />;
}

function States({ panel, ...given }) {
  const { rowHeight, perPage } = panel.options;
  return <StateTimeline {...given} rowHeight={rowHeight} perPage={perPage} />;
}

function Stat({ panel: { fieldConfig, options }, frames, width, height }) {
  const { reduceOptions } = options;
  const replaceVariables = (text) => text;
  const getValues = () => (
    getFieldDisplayValues({ fieldConfig, reduceOptions, replaceVariables, theme, data: frames, timeZone })
  );
  const renderValue = ({ value, ...size }) => (
    <BigValue {...size} {...options} value={value.display} theme={theme} />
  );
  return <VizRepeater {...{ getValues, renderValue, width, height }} source={frames} orientation="auto" />;
}

// what a test is told of a panel
function report({ id, type, title, error, fieldConfig: { defaults } }) {
  const drawing = document.querySelector(`#panel-${id} .drawing`);
  return {
    type,
    title,
    error: error ?? null,
    unknown_unit: isKnown(defaults.unit) ? null : String(defaults.unit),
    text: drawing.innerText,
    colours: [...drawing.querySelectorAll('span')].map((span) => getComputedStyle(span).color),
    inked: [...drawing.querySelectorAll('canvas')].some(inked),
  };
}

// what Grafana has no unit for, it writes behind the number, without a word
function isKnown(unit = '') {
  return units.has(unit) || unit.startsWith('suffix:');
}

// whether there is anything but the grey of the axes and their grid
function inked(canvas) {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  for (let pixel = 0; pixel < data.length; pixel += 4) {
    const [red, green, blue] = [data[pixel], data[pixel + 1], data[pixel + 2]];
    if (Math.max(red, green, blue) - Math.min(red, green, blue) > 60) {
      return true;
    }
  }
  return false;
}
