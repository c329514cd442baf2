// A state timeline. The component of Grafana is in no library; this has its data, colours and texts.
import { formattedValueToString, getFieldDisplayName } from '@grafana/data';
import { useTheme2 } from '@grafana/ui';

const NAMES_WIDTH = 90;

export function StateTimeline({ frames, width, height, timeRange, rowHeight, perPage }) {
  const theme = useTheme2();
  const from = timeRange.from.valueOf();
  const x = (time) => ((time - from) / (timeRange.to.valueOf() - from)) * (width - NAMES_WIDTH);
  const shown = frames.slice(0, perPage);
  const row = height / shown.length;
  const place = { position: 'absolute', height: row, width, fontSize: 12, lineHeight: `${row}px` };
  return shown.map((frame, number) => (
    <div key={number} style={{ ...place, top: number * row }}>
      {getFieldDisplayName(frame.fields[1], frame, frames)}
      {stretches(frame).map(({ begin, end, value }) => {
        const { color, ...formatted } = frame.fields[1].display(value);
        const style = {
          position: 'absolute',
          left: NAMES_WIDTH + x(begin),
          width: x(end) - x(begin),
          top: (row * (1 - rowHeight)) / 2,
          height: row * rowHeight,
          lineHeight: `${row * rowHeight}px`,
          paddingLeft: 4,
          overflow: 'hidden',
          background: color,
          color: theme.colors.getContrastText(color),
        };
        return <div key={begin} style={style}>{formattedValueToString(formatted)}</div>;
      })}
    </div>
  ));
}

function stretches({ fields: [{ values: times }, { values }] }) {
  const found = [];
  times.slice(1).forEach((end, index) => {
    const [begin, value] = [times[index], values[index]];
    const last = found.at(-1);
    if (last && last.end === begin && last.value === value) {
      last.end = end;
    } else if (value !== null) {
      found.push({ begin, end, value });
    }
  });
  return found;
}
