-- The cut points of a quantile policy
WITH activity AS (
    SELECT user_id, MAX(action_timestamp) AS last_action_at, COUNT(*) AS frequency,
        SUM(CAST(ROUND(value * 100) AS bigint)) AS total
    FROM user_actions WHERE action_timestamp >= %(since)s AND action_timestamp <= %(as_of)s AND TRUE GROUP BY user_id
), frequencies AS (SELECT frequency AS reached, COUNT(*) AS users FROM activity GROUP BY 1
), totals AS (SELECT total AS reached, COUNT(*) AS users FROM activity GROUP BY 1)
SELECT * FROM (SELECT COUNT(*), COUNT(CASE WHEN last_action_at <= %(day0)s THEN 1 END) AS day0, COUNT(CASE WHEN last_action_at <= %(day1)s THEN 1 END) AS day1, COUNT(CASE WHEN last_action_at <= %(day2)s THEN 1 END) AS day2, COUNT(CASE WHEN last_action_at <= %(day3)s THEN 1 END) AS day3, COUNT(CASE WHEN last_action_at <= %(day4)s THEN 1 END) AS day4, COUNT(CASE WHEN last_action_at <= %(day5)s THEN 1 END) AS day5, COUNT(CASE WHEN last_action_at <= %(day6)s THEN 1 END) AS day6, COUNT(CASE WHEN last_action_at <= %(day7)s THEN 1 END) AS day7, COUNT(CASE WHEN last_action_at <= %(day8)s THEN 1 END) AS day8, COUNT(CASE WHEN last_action_at <= %(day9)s THEN 1 END) AS day9, COUNT(CASE WHEN last_action_at <= %(day10)s THEN 1 END) AS day10, COUNT(CASE WHEN last_action_at <= %(day11)s THEN 1 END) AS day11, COUNT(CASE WHEN last_action_at <= %(day12)s THEN 1 END) AS day12, COUNT(CASE WHEN last_action_at <= %(day13)s THEN 1 END) AS day13, COUNT(CASE WHEN last_action_at <= %(day14)s THEN 1 END) AS day14, COUNT(CASE WHEN last_action_at <= %(day15)s THEN 1 END) AS day15, COUNT(CASE WHEN last_action_at <= %(day16)s THEN 1 END) AS day16, COUNT(CASE WHEN last_action_at <= %(day17)s THEN 1 END) AS day17, COUNT(CASE WHEN last_action_at <= %(day18)s THEN 1 END) AS day18, COUNT(CASE WHEN last_action_at <= %(day19)s THEN 1 END) AS day19, COUNT(CASE WHEN last_action_at <= %(day20)s THEN 1 END) AS day20, COUNT(CASE WHEN last_action_at <= %(day21)s THEN 1 END) AS day21, COUNT(CASE WHEN last_action_at <= %(day22)s THEN 1 END) AS day22, COUNT(CASE WHEN last_action_at <= %(day23)s THEN 1 END) AS day23, COUNT(CASE WHEN last_action_at <= %(day24)s THEN 1 END) AS day24, COUNT(CASE WHEN last_action_at <= %(day25)s THEN 1 END) AS day25, COUNT(CASE WHEN last_action_at <= %(day26)s THEN 1 END) AS day26, COUNT(CASE WHEN last_action_at <= %(day27)s THEN 1 END) AS day27, COUNT(CASE WHEN last_action_at <= %(day28)s THEN 1 END) AS day28, COUNT(CASE WHEN last_action_at <= %(day29)s THEN 1 END) AS day29, COUNT(CASE WHEN last_action_at <= %(day30)s THEN 1 END) AS day30 FROM activity) AS r
CROSS JOIN (SELECT MIN(CASE WHEN 5 * below >= 1 * all_users THEN reached END) AS cut1, MIN(CASE WHEN 5 * below >= 2 * all_users THEN reached END) AS cut2, MIN(CASE WHEN 5 * below >= 3 * all_users THEN reached END) AS cut3, MIN(CASE WHEN 5 * below >= 4 * all_users THEN reached END) AS cut4 FROM (
    SELECT reached, SUM(users) OVER (ORDER BY reached) - users AS below, SUM(users) OVER () AS all_users FROM frequencies
) AS ranked_frequencies) AS f CROSS JOIN (SELECT MIN(CASE WHEN 5 * below >= 1 * all_users THEN reached END) AS cut1, MIN(CASE WHEN 5 * below >= 2 * all_users THEN reached END) AS cut2, MIN(CASE WHEN 5 * below >= 3 * all_users THEN reached END) AS cut3, MIN(CASE WHEN 5 * below >= 4 * all_users THEN reached END) AS cut4 FROM (
    SELECT reached, SUM(users) OVER (ORDER BY reached) - users AS below, SUM(users) OVER () AS all_users FROM totals
) AS ranked_totals) AS m;

-- How many users are in which group now
SELECT rfm_group, recency_score, frequency_score, COUNT(*), COUNT(last_action_at) FROM user_segments GROUP BY 1, 2, 3;

-- The rows that differ: a run that reads all actions
CREATE TEMPORARY TABLE rfm_difference AS (
WITH activity AS (
    SELECT user_id, MAX(action_timestamp) FILTER (WHERE action_timestamp >= %(since)s) AS last_action_at, COUNT(*) FILTER (WHERE action_timestamp >= %(since)s) AS frequency,
        SUM(CAST(ROUND(value * 100) AS bigint)) FILTER (WHERE action_timestamp >= %(since)s) AS total
    FROM user_actions WHERE action_timestamp <= %(as_of)s AND user_id < 1000 GROUP BY user_id
), scored AS (
    SELECT user_id, last_action_at, frequency, total * 0.01 AS monetary,
        CASE WHEN last_action_at > %(recency3)s THEN 5 WHEN last_action_at > %(recency2)s THEN 4 WHEN last_action_at > %(recency1)s THEN 3 WHEN last_action_at > %(recency0)s THEN 2 ELSE 1 END AS recency_score, CASE WHEN frequency >= %(frequency3)s THEN 5 WHEN frequency >= %(frequency2)s THEN 4 WHEN frequency >= %(frequency1)s THEN 3 WHEN frequency >= %(frequency0)s THEN 2 ELSE 1 END AS frequency_score, CASE WHEN total >= %(monetary3)s THEN 5 WHEN total >= %(monetary2)s THEN 4 WHEN total >= %(monetary1)s THEN 3 WHEN total >= %(monetary0)s THEN 2 ELSE 1 END AS monetary_score
    FROM activity
), classified AS (
    SELECT CAST(COALESCE(scored.user_id, old.user_id) AS bigint) AS user_id, CASE WHEN scored.recency_score >= 4 AND scored.frequency_score >= 4 AND scored.monetary_score >= 4 THEN %(group0)s WHEN scored.recency_score >= 3 AND scored.frequency_score >= 3 AND scored.monetary_score >= 1 THEN %(group1)s WHEN TRUE THEN %(lapsed_group)s END AS rfm_group,
        COALESCE(scored.recency_score, 1) AS recency_score, COALESCE(scored.frequency_score, 1) AS frequency_score,
        COALESCE(scored.monetary_score, 1) AS monetary_score, COALESCE(scored.frequency, 0) AS frequency,
        COALESCE(scored.monetary, 0) AS monetary, scored.last_action_at, old.rfm_group AS old_rfm_group, old.recency_score AS old_recency_score, old.frequency_score AS old_frequency_score, old.monetary_score AS old_monetary_score, old.frequency AS old_frequency, old.monetary AS old_monetary, old.last_action_at AS old_last_action_at
    FROM scored FULL JOIN (SELECT * FROM user_segments WHERE user_id < 1000) old ON old.user_id = scored.user_id
)
SELECT user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at, old_rfm_group AS from_group, old_recency_score, old_frequency_score, old_last_action_at
FROM classified
WHERE (rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at) IS DISTINCT FROM (old_rfm_group, old_recency_score, old_frequency_score, old_monetary_score, old_frequency, old_monetary, old_last_action_at)) UNION ALL (
WITH activity AS (
    SELECT user_id, MAX(action_timestamp) FILTER (WHERE action_timestamp >= %(since)s) AS last_action_at, COUNT(*) FILTER (WHERE action_timestamp >= %(since)s) AS frequency,
        SUM(CAST(ROUND(value * 100) AS bigint)) FILTER (WHERE action_timestamp >= %(since)s) AS total
    FROM user_actions WHERE action_timestamp <= %(as_of)s AND user_id >= 1000 GROUP BY user_id
), scored AS (
    SELECT user_id, last_action_at, frequency, total * 0.01 AS monetary,
        CASE WHEN last_action_at > %(recency3)s THEN 5 WHEN last_action_at > %(recency2)s THEN 4 WHEN last_action_at > %(recency1)s THEN 3 WHEN last_action_at > %(recency0)s THEN 2 ELSE 1 END AS recency_score, CASE WHEN frequency >= %(frequency3)s THEN 5 WHEN frequency >= %(frequency2)s THEN 4 WHEN frequency >= %(frequency1)s THEN 3 WHEN frequency >= %(frequency0)s THEN 2 ELSE 1 END AS frequency_score, CASE WHEN total >= %(monetary3)s THEN 5 WHEN total >= %(monetary2)s THEN 4 WHEN total >= %(monetary1)s THEN 3 WHEN total >= %(monetary0)s THEN 2 ELSE 1 END AS monetary_score
    FROM activity
), classified AS (
    SELECT CAST(COALESCE(scored.user_id, old.user_id) AS bigint) AS user_id, CASE WHEN scored.recency_score >= 4 AND scored.frequency_score >= 4 AND scored.monetary_score >= 4 THEN %(group0)s WHEN scored.recency_score >= 3 AND scored.frequency_score >= 3 AND scored.monetary_score >= 1 THEN %(group1)s WHEN TRUE THEN %(lapsed_group)s END AS rfm_group,
        COALESCE(scored.recency_score, 1) AS recency_score, COALESCE(scored.frequency_score, 1) AS frequency_score,
        COALESCE(scored.monetary_score, 1) AS monetary_score, COALESCE(scored.frequency, 0) AS frequency,
        COALESCE(scored.monetary, 0) AS monetary, scored.last_action_at, old.rfm_group AS old_rfm_group, old.recency_score AS old_recency_score, old.frequency_score AS old_frequency_score, old.monetary_score AS old_monetary_score, old.frequency AS old_frequency, old.monetary AS old_monetary, old.last_action_at AS old_last_action_at
    FROM scored FULL JOIN (SELECT * FROM user_segments WHERE user_id >= 1000) old ON old.user_id = scored.user_id
)
SELECT user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at, old_rfm_group AS from_group, old_recency_score, old_frequency_score, old_last_action_at
FROM classified
WHERE (rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at) IS DISTINCT FROM (old_rfm_group, old_recency_score, old_frequency_score, old_monetary_score, old_frequency, old_monetary, old_last_action_at));

-- The rows that differ: later runs
CREATE TEMPORARY TABLE rfm_difference AS (
WITH activity AS (
    SELECT user_id, MAX(action_timestamp) AS last_action_at, COUNT(*) AS frequency,
        SUM(CAST(ROUND(value * 100) AS bigint)) AS total
    FROM user_actions WHERE action_timestamp >= %(since)s AND action_timestamp <= %(as_of)s AND user_id < 1000 GROUP BY user_id
), scored AS (
    SELECT user_id, last_action_at, frequency, total * 0.01 AS monetary,
        CASE WHEN last_action_at > %(recency3)s THEN 5 WHEN last_action_at > %(recency2)s THEN 4 WHEN last_action_at > %(recency1)s THEN 3 WHEN last_action_at > %(recency0)s THEN 2 ELSE 1 END AS recency_score, CASE WHEN frequency >= %(frequency3)s THEN 5 WHEN frequency >= %(frequency2)s THEN 4 WHEN frequency >= %(frequency1)s THEN 3 WHEN frequency >= %(frequency0)s THEN 2 ELSE 1 END AS frequency_score, CASE WHEN total >= %(monetary3)s THEN 5 WHEN total >= %(monetary2)s THEN 4 WHEN total >= %(monetary1)s THEN 3 WHEN total >= %(monetary0)s THEN 2 ELSE 1 END AS monetary_score
    FROM activity
), classified AS (
    SELECT CAST(COALESCE(scored.user_id, old.user_id) AS bigint) AS user_id, CASE WHEN scored.recency_score >= 4 AND scored.frequency_score >= 4 AND scored.monetary_score >= 4 THEN %(group0)s WHEN scored.recency_score >= 3 AND scored.frequency_score >= 3 AND scored.monetary_score >= 1 THEN %(group1)s WHEN TRUE THEN %(lapsed_group)s END AS rfm_group,
        COALESCE(scored.recency_score, 1) AS recency_score, COALESCE(scored.frequency_score, 1) AS frequency_score,
        COALESCE(scored.monetary_score, 1) AS monetary_score, COALESCE(scored.frequency, 0) AS frequency,
        COALESCE(scored.monetary, 0) AS monetary, scored.last_action_at, old.rfm_group AS old_rfm_group, old.recency_score AS old_recency_score, old.frequency_score AS old_frequency_score, old.monetary_score AS old_monetary_score, old.frequency AS old_frequency, old.monetary AS old_monetary, old.last_action_at AS old_last_action_at
    FROM scored FULL JOIN (SELECT * FROM user_segments WHERE user_id < 1000) old ON old.user_id = scored.user_id
)
SELECT user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at, old_rfm_group AS from_group, old_recency_score, old_frequency_score, old_last_action_at
FROM classified
WHERE (rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at) IS DISTINCT FROM (old_rfm_group, old_recency_score, old_frequency_score, old_monetary_score, old_frequency, old_monetary, old_last_action_at)) UNION ALL (
WITH activity AS (
    SELECT user_id, MAX(action_timestamp) AS last_action_at, COUNT(*) AS frequency,
        SUM(CAST(ROUND(value * 100) AS bigint)) AS total
    FROM user_actions WHERE action_timestamp >= %(since)s AND action_timestamp <= %(as_of)s AND user_id >= 1000 GROUP BY user_id
), scored AS (
    SELECT user_id, last_action_at, frequency, total * 0.01 AS monetary,
        CASE WHEN last_action_at > %(recency3)s THEN 5 WHEN last_action_at > %(recency2)s THEN 4 WHEN last_action_at > %(recency1)s THEN 3 WHEN last_action_at > %(recency0)s THEN 2 ELSE 1 END AS recency_score, CASE WHEN frequency >= %(frequency3)s THEN 5 WHEN frequency >= %(frequency2)s THEN 4 WHEN frequency >= %(frequency1)s THEN 3 WHEN frequency >= %(frequency0)s THEN 2 ELSE 1 END AS frequency_score, CASE WHEN total >= %(monetary3)s THEN 5 WHEN total >= %(monetary2)s THEN 4 WHEN total >= %(monetary1)s THEN 3 WHEN total >= %(monetary0)s THEN 2 ELSE 1 END AS monetary_score
    FROM activity
), classified AS (
    SELECT CAST(COALESCE(scored.user_id, old.user_id) AS bigint) AS user_id, CASE WHEN scored.recency_score >= 4 AND scored.frequency_score >= 4 AND scored.monetary_score >= 4 THEN %(group0)s WHEN scored.recency_score >= 3 AND scored.frequency_score >= 3 AND scored.monetary_score >= 1 THEN %(group1)s WHEN TRUE THEN %(lapsed_group)s END AS rfm_group,
        COALESCE(scored.recency_score, 1) AS recency_score, COALESCE(scored.frequency_score, 1) AS frequency_score,
        COALESCE(scored.monetary_score, 1) AS monetary_score, COALESCE(scored.frequency, 0) AS frequency,
        COALESCE(scored.monetary, 0) AS monetary, scored.last_action_at, old.rfm_group AS old_rfm_group, old.recency_score AS old_recency_score, old.frequency_score AS old_frequency_score, old.monetary_score AS old_monetary_score, old.frequency AS old_frequency, old.monetary AS old_monetary, old.last_action_at AS old_last_action_at
    FROM scored FULL JOIN (SELECT * FROM user_segments WHERE user_id >= 1000) old ON old.user_id = scored.user_id
)
SELECT user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at, old_rfm_group AS from_group, old_recency_score, old_frequency_score, old_last_action_at
FROM classified
WHERE (rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at) IS DISTINCT FROM (old_rfm_group, old_recency_score, old_frequency_score, old_monetary_score, old_frequency, old_monetary, old_last_action_at));

-- Users first seen outside the window
INSERT INTO rfm_difference
    (user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary)
SELECT DISTINCT arrived.user_id, %(lapsed_group)s, 1, 1, 1, 0, 0 FROM user_actions arrived
LEFT JOIN user_segments old ON old.user_id = arrived.user_id
LEFT JOIN rfm_difference new ON new.user_id = arrived.user_id
WHERE arrived.id > %(seen)s AND arrived.action_timestamp < %(since)s AND old.user_id IS NULL AND new.user_id IS NULL;

-- How many users move from where to where
SELECT from_group, old_recency_score, old_frequency_score, rfm_group, recency_score, frequency_score,
    COUNT(*), COUNT(last_action_at) - COUNT(old_last_action_at),
    COUNT(CASE WHEN last_action_at IS NULL THEN old_last_action_at END)
FROM rfm_difference GROUP BY 1, 2, 3, 4, 5, 6;

-- The changes of group
INSERT INTO segment_changes (user_id, run_id, from_group, to_group, changed_at)
SELECT user_id, %(run)s, COALESCE(from_group, ''), rfm_group, %(moment)s FROM rfm_difference
WHERE COALESCE(from_group, %(lapsed_group)s) <> rfm_group;

-- New rows
INSERT INTO user_segments (user_id, risk_profile, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at, last_updated)
SELECT user_id, 'Unknown', rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at, %(moment)s FROM rfm_difference WHERE from_group IS NULL ORDER BY user_id;

-- New rows, when one of them exists by now
INSERT INTO user_segments (user_id, risk_profile, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at, last_updated)
SELECT user_id, 'Unknown', rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at, %(moment)s FROM rfm_difference WHERE TRUE ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET rfm_group = excluded.rfm_group, recency_score = excluded.recency_score, frequency_score = excluded.frequency_score, monetary_score = excluded.monetary_score, frequency = excluded.frequency, monetary = excluded.monetary, last_action_at = excluded.last_action_at, last_updated = excluded.last_updated;

-- Changed rows
UPDATE user_segments SET rfm_group = new.rfm_group, recency_score = new.recency_score, frequency_score = new.frequency_score, monetary_score = new.monetary_score, frequency = new.frequency, monetary = new.monetary, last_action_at = new.last_action_at, last_updated = %(moment)s
FROM (SELECT * FROM rfm_difference WHERE from_group IS NOT NULL ORDER BY user_id) AS new
WHERE user_segments.user_id = new.user_id;

-- The end
DROP TABLE rfm_difference;
