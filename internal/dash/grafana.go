package dash

import (
	"encoding/json"

	"github.com/larder-go/cache/internal/meter"
)

// object is a JSON object; its keys are written in alphabetical order.
type object = map[string]any

var source = object{"type": "prometheus", "uid": "${datasource}"}

// Grafana is the dashboard, for Grafana 10 and later.
func Grafana() ([]byte, error) {
	var panels []object
	id, y := 1, 0
	for _, row := range Rows {
		panels = append(panels, object{
			"id": id, "type": "row", "title": row.Title, "collapsed": false, "panels": []object{},
			"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1},
		})
		id, y = id+1, y+1
		for i, p := range row.Panels {
			panels = append(panels, p.graph(id, 8*(i%3), y+8*(i/3)))
			id++
		}
		y += 8 * ((len(row.Panels) + 2) / 3)
	}
	text, err := json.MarshalIndent(object{
		"title": "Larder cache", "uid": "larder-cache", "schemaVersion": 39, "version": 1, "editable": true,
		"tags": []string{"cache", "redis"}, "timezone": "browser", "refresh": "30s",
		"time":       object{"from": "now-6h", "to": "now"},
		"templating": object{"list": variables()},
		"panels":     panels,
	}, "", "  ")
	return append(text, '\n'), err
}

// variables choose what is shown.
func variables() []object {
	all := []object{{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}}
	for _, v := range [][2]string{
		{"job", "label_values(" + name(meter.Requests) + ", job)"},
		{"cache", "label_values(" + name(meter.Requests) + `{job=~"$job"}, ` + meter.Label(meter.Name) + ")"},
	} {
		all = append(all, object{
			"name": v[0], "type": "query", "datasource": source, "query": v[1], "refresh": 2,
			"multi": true, "includeAll": true, "current": object{"text": "All", "value": "$__all"},
		})
	}
	return all
}

// graph is one panel at a place of the grid.
func (p Panel) graph(id, x, y int) object {
	targets := make([]object, len(p.Queries))
	for i, q := range p.Queries {
		targets[i] = object{"refId": string(rune('A' + i)), "datasource": source, "expr": q.Expr, "legendFormat": q.Legend}
	}
	return object{
		"id": id, "type": "timeseries", "title": p.Title, "description": p.Means, "datasource": source,
		"gridPos":     object{"x": x, "y": y, "w": 8, "h": 8},
		"fieldConfig": object{"defaults": object{"unit": p.Unit, "min": 0}, "overrides": []object{}},
		"options":     object{"legend": object{"displayMode": "list", "placement": "bottom"}, "tooltip": object{"mode": "multi", "sort": "desc"}},
		"targets":     targets,
	}
}
