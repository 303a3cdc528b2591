using PartitionLeaders.Reports;
using RaftKit.Node.Proposals;
using RaftKit.Recipes;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Appends numbered records to a partition while this broker leads it. Two things keep a deposed leader out, even one that was frozen and
/// does not know: each write is a multi that checks that its leader's znode is still there, and it sets the state only at the version that
/// the leader saw last.
/// </summary>
internal sealed class PartitionWriter(
    IZnodeSession session, int partition, Leadership leadership, Task handOver, ReportSink reports, ProgressLog progress, WriteGate gate)
{
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(2);

    private readonly string _statePath = Paths.State(partition);
    private readonly string _leadersPath = Paths.Leaders(partition);
    private readonly long _token = leadership.FencingToken.Value;
    private readonly ZnodeOperation _stillLeader = new ZnodeOperation.Check(leadership.Path);
    private PartitionState _state;
    private int _version;

    /// <summary>
    /// Returns when leadership is lost or, between two writes, to be handed over; holds it without writing once the gate is closed.
    /// </summary>
    public async Task RunAsync(CancellationToken cancel)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel, leadership.Lost);
        try
        {
            var leads = await ThroughGateAsync(() => TakeOverAsync(stop.Token));
            while (leads == true && leadership.IsHeld && !handOver.IsCompletedSuccessfully)
            {
                await Task.Delay(Pace, stop.Token);
                leads = await ThroughGateAsync(() => AppendAsync(stop.Token));
            }

            if (leads == false)
                reports.Send(new BrokerReport.Fenced(partition, _token));
            else if (leads is null)
                await Task.Delay(Timeout.Infinite, stop.Token);
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            // Leadership was lost: contend again.
        }
    }

    private async Task<bool?> ThroughGateAsync(Func<Task<bool>> write)
    {
        if (!gate.TryEnter())
            return null;
        try
        {
            return await write();
        }
        finally
        {
            gate.Leave();
        }
    }

    // Writes this leader's token into the state, and into the history from which record on it writes; both or none.
    private async Task<bool> TakeOverAsync(CancellationToken cancel)
    {
        while (true)
        {
            try
            {
                var leaders = await ReadAsync(cancel);
                if (_state.Token >= _token)
                    return _state.Token == _token;
                var taken = _state with { Token = _token };
                var history = LeaderHistory.Parse(leaders.Data.Span).With(new(_token, _state.Number + 1));
                var result = await session.MultiAsync(
                    [
                        _stillLeader,
                        new ZnodeOperation.Set(_statePath, taken.ToBytes(), _version),
                        new ZnodeOperation.Set(_leadersPath, history.ToBytes(), leaders.Stat.Version),
                    ],
                    cancel);
                if (result.Succeeded)
                {
                    (_state, _version) = (taken, result.Results[1].Stat.Version);
                    return true;
                }

                // The version changed: the previous leader's last write came in between. Anything else: this one is deposed.
                if (result.Results[0].Error != ZnodeError.None && result.Results[0].Error != ZnodeError.RuntimeInconsistency)
                    return false;
            }
            catch (Exception e) when (e is NotAppliedException or OutcomeUnknownException)
            {
                await Task.Delay(RetryPause, cancel);
            }
        }
    }

    /// <summary>Appends the next record; false if this leader is deposed.</summary>
    private async Task<bool> AppendAsync(CancellationToken cancel)
    {
        var next = _state.Append(_token);
        while (true)
        {
            try
            {
                var result = await session.MultiAsync([_stillLeader, new ZnodeOperation.Set(_statePath, next.ToBytes(), _version)], cancel);
                if (!result.Succeeded)
                    return false;
                Acknowledge(next, result.Results[1].Stat.Version);
                return true;
            }
            catch (NotAppliedException)
            {
                // Surely not applied: the same write again.
                await Task.Delay(RetryPause, cancel);
            }
            catch (OutcomeUnknownException)
            {
                // It may have been applied. The state tells: only this leader can have written its number under its token.
                await Tree.RetryAsync(() => ReadAsync(cancel), cancel);
                if (_state == next)
                {
                    Acknowledge(next, _version);
                    return true;
                }

                if (_state.Token != _token)
                    return false;
            }
        }
    }

    private void Acknowledge(PartitionState state, int version)
    {
        (_state, _version) = (state, version);
        progress.Acknowledged(partition, _token, state.Number);
    }

    // Reads the state into this writer, and returns the history. The sync makes it a linearizable read.
    private async Task<Znode> ReadAsync(CancellationToken cancel)
    {
        await session.SyncAsync(cancel);
        var state = await session.GetAsync(_statePath, cancellationToken: cancel) ?? throw Missing(_statePath);
        var leaders = await session.GetAsync(_leadersPath, cancellationToken: cancel) ?? throw Missing(_leadersPath);
        (_state, _version) = (PartitionState.Parse(state.Data.Span), state.Stat.Version);
        return leaders;
    }

    private static InvalidOperationException Missing(string path) =>
        new($"The tree has no {path}, which was created before and never deleted.");
}
