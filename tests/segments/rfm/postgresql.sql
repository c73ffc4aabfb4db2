-- The cut points of a quantile policy
WITH activity AS (
    SELECT user_id, MIN(action_timestamp) AS first_action_at, MAX(action_timestamp) AS last_action_at, COUNT(*) AS actions,
        COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)), 0) AS all_total, COUNT(*) AS frequency, COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)), 0) AS total
    FROM user_actions WHERE action_timestamp >= %(from)s AND action_timestamp <= %(as_of)s GROUP BY user_id
), recency AS (
    SELECT last_action_at AS reached, COUNT(*) AS users FROM activity WHERE frequency > 0 GROUP BY 1), frequency AS (
    SELECT frequency AS reached, COUNT(*) AS users FROM activity WHERE frequency > 0 GROUP BY 1), monetary AS (
    SELECT total AS reached, COUNT(*) AS users FROM activity WHERE frequency > 0 GROUP BY 1)
SELECT * FROM (SELECT MIN(CASE WHEN 5 * below >= 1 * all_users THEN reached END) AS cut0, MIN(CASE WHEN 5 * below >= 2 * all_users THEN reached END) AS cut1, MIN(CASE WHEN 5 * below >= 3 * all_users THEN reached END) AS cut2, MIN(CASE WHEN 5 * below >= 4 * all_users THEN reached END) AS cut3 FROM (
    SELECT reached, SUM(users) OVER (ORDER BY reached)  AS below, SUM(users) OVER () AS all_users
    FROM recency) AS ranked_recency) AS of_recency CROSS JOIN (SELECT MIN(CASE WHEN 5 * below >= 1 * all_users THEN reached END) AS cut0, MIN(CASE WHEN 5 * below >= 2 * all_users THEN reached END) AS cut1, MIN(CASE WHEN 5 * below >= 3 * all_users THEN reached END) AS cut2, MIN(CASE WHEN 5 * below >= 4 * all_users THEN reached END) AS cut3 FROM (
    SELECT reached, SUM(users) OVER (ORDER BY reached) - users AS below, SUM(users) OVER () AS all_users
    FROM frequency) AS ranked_frequency) AS of_frequency CROSS JOIN (SELECT MIN(CASE WHEN 5 * below >= 1 * all_users THEN reached END) AS cut0, MIN(CASE WHEN 5 * below >= 2 * all_users THEN reached END) AS cut1, MIN(CASE WHEN 5 * below >= 3 * all_users THEN reached END) AS cut2, MIN(CASE WHEN 5 * below >= 4 * all_users THEN reached END) AS cut3 FROM (
    SELECT reached, SUM(users) OVER (ORDER BY reached) - users AS below, SUM(users) OVER () AS all_users
    FROM monetary) AS ranked_monetary) AS of_monetary;

-- How many users are in which group now
SELECT rfm_group, recency_score, frequency_score, COUNT(*), COUNT(CASE WHEN frequency > 0 THEN 1 END)
FROM user_segments GROUP BY 1, 2, 3;

-- The rows that differ: a run that reads all actions
CREATE TEMPORARY TABLE rfm_difference AS (
WITH activity AS (
    SELECT user_id, MIN(action_timestamp) AS first_action_at, MAX(action_timestamp) AS last_action_at, COUNT(*) AS actions,
        COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)), 0) AS all_total, COUNT(*) FILTER (WHERE action_timestamp >= %(since)s) AS frequency, COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)) FILTER (WHERE action_timestamp >= %(since)s), 0) AS total
    FROM user_actions WHERE action_timestamp <= %(as_of)s AND user_id < 1000 GROUP BY user_id
), users AS (
    SELECT CAST(COALESCE(activity.user_id, old.user_id) AS bigint) AS user_id,
        COALESCE(activity.frequency, 0) AS frequency, COALESCE(activity.total, 0) AS total, COALESCE(activity.actions, 0) AS lifetime_actions, COALESCE(activity.all_total, 0) * 0.01 AS lifetime_value,
        activity.first_action_at, activity.last_action_at,
        (old.first_action_at > %(as_of)s AND activity.user_id IS NULL AND old.risk_profile = 'Unknown') AS removed, activity.actions AS read_actions, activity.all_total AS read_all_total, activity.first_action_at AS read_first_action_at, old.rfm_group AS old_rfm_group, old.recency_score AS old_recency_score, old.frequency_score AS old_frequency_score, old.monetary_score AS old_monetary_score, old.frequency AS old_frequency, old.monetary AS old_monetary, old.lifetime_actions AS old_lifetime_actions, old.lifetime_value AS old_lifetime_value, old.first_action_at AS old_first_action_at, old.last_action_at AS old_last_action_at
    FROM activity FULL JOIN (SELECT * FROM user_segments WHERE user_id < 1000) old ON old.user_id = activity.user_id
), scored AS (
    SELECT *, total * 0.01 AS monetary, CASE WHEN frequency = 0 THEN 1 WHEN last_action_at > %(recency3)s THEN 5 WHEN last_action_at > %(recency2)s THEN 4 WHEN last_action_at > %(recency1)s THEN 3 WHEN last_action_at > %(recency0)s THEN 2 ELSE 1 END AS recency_score, CASE WHEN frequency >= %(frequency3)s THEN 5 WHEN frequency >= %(frequency2)s THEN 4 WHEN frequency >= %(frequency1)s THEN 3 WHEN frequency >= %(frequency0)s THEN 2 ELSE 1 END AS frequency_score,
        CASE WHEN frequency = 0 THEN 1 WHEN total >= %(monetary3)s THEN 5 WHEN total >= %(monetary2)s THEN 4 WHEN total >= %(monetary1)s THEN 3 WHEN total >= %(monetary0)s THEN 2 ELSE 1 END AS monetary_score
    FROM users
), classified AS (
    SELECT *, CASE WHEN recency_score >= 4 AND frequency_score >= 4 AND monetary_score >= 4 THEN %(group0)s WHEN recency_score >= 3 AND frequency_score >= 3 THEN %(group1)s WHEN TRUE THEN %(lapsed_group)s END AS rfm_group FROM scored
)
SELECT user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at, removed, old_rfm_group AS from_group, old_recency_score, old_frequency_score,
    old_frequency
FROM classified
WHERE (rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at) IS DISTINCT FROM (old_rfm_group, old_recency_score, old_frequency_score, old_monetary_score, old_frequency, old_monetary, old_lifetime_actions, old_lifetime_value, old_first_action_at, old_last_action_at)) UNION ALL (
WITH activity AS (
    SELECT user_id, MIN(action_timestamp) AS first_action_at, MAX(action_timestamp) AS last_action_at, COUNT(*) AS actions,
        COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)), 0) AS all_total, COUNT(*) FILTER (WHERE action_timestamp >= %(since)s) AS frequency, COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)) FILTER (WHERE action_timestamp >= %(since)s), 0) AS total
    FROM user_actions WHERE action_timestamp <= %(as_of)s AND user_id >= 1000 GROUP BY user_id
), users AS (
    SELECT CAST(COALESCE(activity.user_id, old.user_id) AS bigint) AS user_id,
        COALESCE(activity.frequency, 0) AS frequency, COALESCE(activity.total, 0) AS total, COALESCE(activity.actions, 0) AS lifetime_actions, COALESCE(activity.all_total, 0) * 0.01 AS lifetime_value,
        activity.first_action_at, activity.last_action_at,
        (old.first_action_at > %(as_of)s AND activity.user_id IS NULL AND old.risk_profile = 'Unknown') AS removed, activity.actions AS read_actions, activity.all_total AS read_all_total, activity.first_action_at AS read_first_action_at, old.rfm_group AS old_rfm_group, old.recency_score AS old_recency_score, old.frequency_score AS old_frequency_score, old.monetary_score AS old_monetary_score, old.frequency AS old_frequency, old.monetary AS old_monetary, old.lifetime_actions AS old_lifetime_actions, old.lifetime_value AS old_lifetime_value, old.first_action_at AS old_first_action_at, old.last_action_at AS old_last_action_at
    FROM activity FULL JOIN (SELECT * FROM user_segments WHERE user_id >= 1000) old ON old.user_id = activity.user_id
), scored AS (
    SELECT *, total * 0.01 AS monetary, CASE WHEN frequency = 0 THEN 1 WHEN last_action_at > %(recency3)s THEN 5 WHEN last_action_at > %(recency2)s THEN 4 WHEN last_action_at > %(recency1)s THEN 3 WHEN last_action_at > %(recency0)s THEN 2 ELSE 1 END AS recency_score, CASE WHEN frequency >= %(frequency3)s THEN 5 WHEN frequency >= %(frequency2)s THEN 4 WHEN frequency >= %(frequency1)s THEN 3 WHEN frequency >= %(frequency0)s THEN 2 ELSE 1 END AS frequency_score,
        CASE WHEN frequency = 0 THEN 1 WHEN total >= %(monetary3)s THEN 5 WHEN total >= %(monetary2)s THEN 4 WHEN total >= %(monetary1)s THEN 3 WHEN total >= %(monetary0)s THEN 2 ELSE 1 END AS monetary_score
    FROM users
), classified AS (
    SELECT *, CASE WHEN recency_score >= 4 AND frequency_score >= 4 AND monetary_score >= 4 THEN %(group0)s WHEN recency_score >= 3 AND frequency_score >= 3 THEN %(group1)s WHEN TRUE THEN %(lapsed_group)s END AS rfm_group FROM scored
)
SELECT user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at, removed, old_rfm_group AS from_group, old_recency_score, old_frequency_score,
    old_frequency
FROM classified
WHERE (rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at) IS DISTINCT FROM (old_rfm_group, old_recency_score, old_frequency_score, old_monetary_score, old_frequency, old_monetary, old_lifetime_actions, old_lifetime_value, old_first_action_at, old_last_action_at));

-- Later runs: users of actions that arrived late
CREATE TEMPORARY TABLE rfm_late AS SELECT DISTINCT user_id FROM user_actions
WHERE id > %(seen)s AND action_timestamp < %(from)s;

-- The rows that differ: later runs
CREATE TEMPORARY TABLE rfm_difference AS (
WITH activity AS (
    SELECT user_id, MIN(action_timestamp) AS first_action_at, MAX(action_timestamp) AS last_action_at, COUNT(*) AS actions,
        COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)), 0) AS all_total, COUNT(*) - COUNT(*) FILTER (WHERE action_timestamp < %(since)s) AS frequency, COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)), 0) - COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)) FILTER (WHERE action_timestamp < %(since)s), 0) AS total
    FROM user_actions WHERE action_timestamp >= %(from)s AND action_timestamp <= %(as_of)s AND user_id < 1000 GROUP BY user_id
), users AS (
    SELECT CAST(COALESCE(activity.user_id, old.user_id) AS bigint) AS user_id,
        COALESCE(activity.frequency, 0) AS frequency, COALESCE(activity.total, 0) AS total, COALESCE(old.lifetime_actions - old.frequency, 0) + COALESCE(activity.actions, 0)
            AS lifetime_actions, COALESCE(old.lifetime_value - old.monetary, 0) + COALESCE(activity.all_total, 0) * 0.01 AS lifetime_value,
        CASE WHEN activity.first_action_at < old.first_action_at OR old.first_action_at IS NULL
            THEN activity.first_action_at ELSE old.first_action_at END AS first_action_at,
        COALESCE(activity.last_action_at, old.last_action_at) AS last_action_at,
        FALSE AS removed, activity.actions AS read_actions, activity.all_total AS read_all_total, activity.first_action_at AS read_first_action_at, old.rfm_group AS old_rfm_group, old.recency_score AS old_recency_score, old.frequency_score AS old_frequency_score, old.monetary_score AS old_monetary_score, old.frequency AS old_frequency, old.monetary AS old_monetary, old.lifetime_actions AS old_lifetime_actions, old.lifetime_value AS old_lifetime_value, old.first_action_at AS old_first_action_at, old.last_action_at AS old_last_action_at
    FROM activity FULL JOIN (SELECT * FROM user_segments WHERE user_id < 1000) old ON old.user_id = activity.user_id
), scored AS (
    SELECT *, total * 0.01 AS monetary, CASE WHEN frequency = 0 THEN 1 WHEN last_action_at > %(recency3)s THEN 5 WHEN last_action_at > %(recency2)s THEN 4 WHEN last_action_at > %(recency1)s THEN 3 WHEN last_action_at > %(recency0)s THEN 2 ELSE 1 END AS recency_score, CASE WHEN frequency >= %(frequency3)s THEN 5 WHEN frequency >= %(frequency2)s THEN 4 WHEN frequency >= %(frequency1)s THEN 3 WHEN frequency >= %(frequency0)s THEN 2 ELSE 1 END AS frequency_score,
        CASE WHEN frequency = 0 THEN 1 WHEN total >= %(monetary3)s THEN 5 WHEN total >= %(monetary2)s THEN 4 WHEN total >= %(monetary1)s THEN 3 WHEN total >= %(monetary0)s THEN 2 ELSE 1 END AS monetary_score
    FROM users
), classified AS (
    SELECT *, CASE WHEN recency_score >= 4 AND frequency_score >= 4 AND monetary_score >= 4 THEN %(group0)s WHEN recency_score >= 3 AND frequency_score >= 3 THEN %(group1)s WHEN TRUE THEN %(lapsed_group)s END AS rfm_group FROM scored
)
SELECT user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at, removed, old_rfm_group AS from_group, old_recency_score, old_frequency_score,
    old_frequency
FROM classified
WHERE (rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at) IS DISTINCT FROM (old_rfm_group, old_recency_score, old_frequency_score, old_monetary_score, old_frequency, old_monetary, old_last_action_at) OR read_first_action_at < old_first_action_at OR (old_first_action_at IS NULL AND read_actions IS NOT NULL) OR read_actions > frequency) UNION ALL (
WITH activity AS (
    SELECT user_id, MIN(action_timestamp) AS first_action_at, MAX(action_timestamp) AS last_action_at, COUNT(*) AS actions,
        COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)), 0) AS all_total, COUNT(*) - COUNT(*) FILTER (WHERE action_timestamp < %(since)s) AS frequency, COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)), 0) - COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)) FILTER (WHERE action_timestamp < %(since)s), 0) AS total
    FROM user_actions WHERE action_timestamp >= %(from)s AND action_timestamp <= %(as_of)s AND user_id >= 1000 GROUP BY user_id
), users AS (
    SELECT CAST(COALESCE(activity.user_id, old.user_id) AS bigint) AS user_id,
        COALESCE(activity.frequency, 0) AS frequency, COALESCE(activity.total, 0) AS total, COALESCE(old.lifetime_actions - old.frequency, 0) + COALESCE(activity.actions, 0)
            AS lifetime_actions, COALESCE(old.lifetime_value - old.monetary, 0) + COALESCE(activity.all_total, 0) * 0.01 AS lifetime_value,
        CASE WHEN activity.first_action_at < old.first_action_at OR old.first_action_at IS NULL
            THEN activity.first_action_at ELSE old.first_action_at END AS first_action_at,
        COALESCE(activity.last_action_at, old.last_action_at) AS last_action_at,
        FALSE AS removed, activity.actions AS read_actions, activity.all_total AS read_all_total, activity.first_action_at AS read_first_action_at, old.rfm_group AS old_rfm_group, old.recency_score AS old_recency_score, old.frequency_score AS old_frequency_score, old.monetary_score AS old_monetary_score, old.frequency AS old_frequency, old.monetary AS old_monetary, old.lifetime_actions AS old_lifetime_actions, old.lifetime_value AS old_lifetime_value, old.first_action_at AS old_first_action_at, old.last_action_at AS old_last_action_at
    FROM activity FULL JOIN (SELECT * FROM user_segments WHERE user_id >= 1000) old ON old.user_id = activity.user_id
), scored AS (
    SELECT *, total * 0.01 AS monetary, CASE WHEN frequency = 0 THEN 1 WHEN last_action_at > %(recency3)s THEN 5 WHEN last_action_at > %(recency2)s THEN 4 WHEN last_action_at > %(recency1)s THEN 3 WHEN last_action_at > %(recency0)s THEN 2 ELSE 1 END AS recency_score, CASE WHEN frequency >= %(frequency3)s THEN 5 WHEN frequency >= %(frequency2)s THEN 4 WHEN frequency >= %(frequency1)s THEN 3 WHEN frequency >= %(frequency0)s THEN 2 ELSE 1 END AS frequency_score,
        CASE WHEN frequency = 0 THEN 1 WHEN total >= %(monetary3)s THEN 5 WHEN total >= %(monetary2)s THEN 4 WHEN total >= %(monetary1)s THEN 3 WHEN total >= %(monetary0)s THEN 2 ELSE 1 END AS monetary_score
    FROM users
), classified AS (
    SELECT *, CASE WHEN recency_score >= 4 AND frequency_score >= 4 AND monetary_score >= 4 THEN %(group0)s WHEN recency_score >= 3 AND frequency_score >= 3 THEN %(group1)s WHEN TRUE THEN %(lapsed_group)s END AS rfm_group FROM scored
)
SELECT user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at, removed, old_rfm_group AS from_group, old_recency_score, old_frequency_score,
    old_frequency
FROM classified
WHERE (rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, last_action_at) IS DISTINCT FROM (old_rfm_group, old_recency_score, old_frequency_score, old_monetary_score, old_frequency, old_monetary, old_last_action_at) OR read_first_action_at < old_first_action_at OR (old_first_action_at IS NULL AND read_actions IS NOT NULL) OR read_actions > frequency);

-- Without those of late users
DELETE FROM rfm_difference WHERE user_id IN (SELECT user_id FROM rfm_late);

-- The rows of late users
INSERT INTO rfm_difference
WITH activity AS (
    SELECT user_id, MIN(action_timestamp) AS first_action_at, MAX(action_timestamp) AS last_action_at, COUNT(*) AS actions,
        COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)), 0) AS all_total, COUNT(*) FILTER (WHERE action_timestamp >= %(since)s) AS frequency, COALESCE(SUM(CAST(ROUND(value * 100) AS bigint)) FILTER (WHERE action_timestamp >= %(since)s), 0) AS total
    FROM user_actions WHERE action_timestamp <= %(as_of)s AND user_id IN (SELECT user_id FROM rfm_late) GROUP BY user_id
), users AS (
    SELECT CAST(COALESCE(activity.user_id, old.user_id) AS bigint) AS user_id,
        COALESCE(activity.frequency, 0) AS frequency, COALESCE(activity.total, 0) AS total, COALESCE(activity.actions, 0) AS lifetime_actions, COALESCE(activity.all_total, 0) * 0.01 AS lifetime_value,
        activity.first_action_at, activity.last_action_at,
        (old.first_action_at > %(as_of)s AND activity.user_id IS NULL AND old.risk_profile = 'Unknown') AS removed, activity.actions AS read_actions, activity.all_total AS read_all_total, activity.first_action_at AS read_first_action_at, old.rfm_group AS old_rfm_group, old.recency_score AS old_recency_score, old.frequency_score AS old_frequency_score, old.monetary_score AS old_monetary_score, old.frequency AS old_frequency, old.monetary AS old_monetary, old.lifetime_actions AS old_lifetime_actions, old.lifetime_value AS old_lifetime_value, old.first_action_at AS old_first_action_at, old.last_action_at AS old_last_action_at
    FROM activity FULL JOIN (SELECT * FROM user_segments WHERE user_id IN (SELECT user_id FROM rfm_late)) old ON old.user_id = activity.user_id
), scored AS (
    SELECT *, total * 0.01 AS monetary, CASE WHEN frequency = 0 THEN 1 WHEN last_action_at > %(recency3)s THEN 5 WHEN last_action_at > %(recency2)s THEN 4 WHEN last_action_at > %(recency1)s THEN 3 WHEN last_action_at > %(recency0)s THEN 2 ELSE 1 END AS recency_score, CASE WHEN frequency >= %(frequency3)s THEN 5 WHEN frequency >= %(frequency2)s THEN 4 WHEN frequency >= %(frequency1)s THEN 3 WHEN frequency >= %(frequency0)s THEN 2 ELSE 1 END AS frequency_score,
        CASE WHEN frequency = 0 THEN 1 WHEN total >= %(monetary3)s THEN 5 WHEN total >= %(monetary2)s THEN 4 WHEN total >= %(monetary1)s THEN 3 WHEN total >= %(monetary0)s THEN 2 ELSE 1 END AS monetary_score
    FROM users
), classified AS (
    SELECT *, CASE WHEN recency_score >= 4 AND frequency_score >= 4 AND monetary_score >= 4 THEN %(group0)s WHEN recency_score >= 3 AND frequency_score >= 3 THEN %(group1)s WHEN TRUE THEN %(lapsed_group)s END AS rfm_group FROM scored
)
SELECT user_id, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at, removed, old_rfm_group AS from_group, old_recency_score, old_frequency_score,
    old_frequency
FROM classified
WHERE (rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at) IS DISTINCT FROM (old_rfm_group, old_recency_score, old_frequency_score, old_monetary_score, old_frequency, old_monetary, old_lifetime_actions, old_lifetime_value, old_first_action_at, old_last_action_at);

-- How many users move from where to where
SELECT from_group, old_recency_score, old_frequency_score, removed, rfm_group, recency_score, frequency_score,
    COUNT(*), COUNT(CASE WHEN frequency > 0 THEN 1 END) - COUNT(CASE WHEN old_frequency > 0 THEN 1 END),
    COUNT(CASE WHEN frequency = 0 AND old_frequency > 0 THEN 1 END)
FROM rfm_difference GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- The changes of group
INSERT INTO segment_changes (user_id, run_id, from_group, to_group, changed_at)
SELECT user_id, %(run)s, COALESCE(from_group, ''), rfm_group, %(moment)s FROM rfm_difference
WHERE COALESCE(from_group, %(lapsed_group)s) <> rfm_group;

-- New rows
INSERT INTO user_segments (user_id, risk_profile, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at, last_updated)
SELECT user_id, 'Unknown', rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at, %(moment)s FROM rfm_difference WHERE from_group IS NULL ORDER BY user_id;

-- New rows, when one of them exists by now
INSERT INTO user_segments (user_id, risk_profile, rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at, last_updated)
SELECT user_id, 'Unknown', rfm_group, recency_score, frequency_score, monetary_score, frequency, monetary, lifetime_actions, lifetime_value, first_action_at, last_action_at, %(moment)s FROM rfm_difference WHERE NOT removed ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET rfm_group = excluded.rfm_group, recency_score = excluded.recency_score, frequency_score = excluded.frequency_score, monetary_score = excluded.monetary_score, frequency = excluded.frequency, monetary = excluded.monetary, lifetime_actions = excluded.lifetime_actions, lifetime_value = excluded.lifetime_value, first_action_at = excluded.first_action_at, last_action_at = excluded.last_action_at, last_updated = excluded.last_updated;

-- Changed rows
UPDATE user_segments SET rfm_group = new.rfm_group, recency_score = new.recency_score, frequency_score = new.frequency_score, monetary_score = new.monetary_score, frequency = new.frequency, monetary = new.monetary, lifetime_actions = new.lifetime_actions, lifetime_value = new.lifetime_value, first_action_at = new.first_action_at, last_action_at = new.last_action_at, last_updated = %(moment)s
FROM (SELECT * FROM rfm_difference WHERE from_group IS NOT NULL AND NOT removed ORDER BY user_id) AS new
WHERE user_segments.user_id = new.user_id;

-- Rows of users who act later than as_of
DELETE FROM user_segments
WHERE risk_profile = 'Unknown' AND user_id IN (SELECT user_id FROM rfm_difference WHERE removed);
