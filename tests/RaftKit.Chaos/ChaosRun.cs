using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using RaftKit.Chaos.Faults;

namespace RaftKit.Chaos;

/// <summary>
/// One run: the machines, the subject on them, the hands that strike it, and the judgement of what its clients were told.
/// </summary>
internal sealed class ChaosRun(ChaosOptions options)
{
    public const int CannotRun = 2;

    // As a shell tells of Ctrl-C: neither that all is well, nor that anything was lost.
    private const int Interrupted = 130;

    // How much longer than asked for a run may go on until every kind of fault has struck: on a busy machine members take their time to
    // come back.
    private static readonly TimeSpan Overtime = TimeSpan.FromMinutes(3);

    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50);

    private readonly ConcurrentDictionary<string, int> _struck = new(options.Faults.Select(f => KeyValuePair.Create(f.Name, 0)));
    private readonly ConcurrentQueue<string> _problems = new();
    private readonly List<string> _findings = [];

    public async Task<int> RunAsync()
    {
        if (Requirements.Missing() is { } missing)
        {
            await Console.Error.WriteLineAsync(missing);
            return CannotRun;
        }

        using var interrupted = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
        var history = options.History ?? Path.GetTempFileName();
        try
        {
            return await RunAsync(history, interrupted.Token);
        }
        catch (Exception failure) when (interrupted.IsCancellationRequested)
        {
            // Ctrl-C in a terminal reaches every process of the run: what they made of it proves nothing.
            await Console.Error.WriteLineAsync($"Interrupted. {failure.Message}");
            return Interrupted;
        }
        catch (CommandFailedException failure)
        {
            await Console.Error.WriteLineAsync($"This machine refuses what the run needs. {failure.Message}");
            return CannotRun;
        }
        finally
        {
            if (options.History is null)
            {
                File.Delete(history);
                File.Delete(Judgement.LocalFile(history));
            }
        }

        // The first one ends the run and tidies up, as the end of its time does; the second one is not waited for.
        void Interrupt(PosixSignalContext signal)
        {
            signal.Cancel = !interrupted.IsCancellationRequested;
            interrupted.Cancel();
        }
    }

    private void Find(string problem)
    {
        _findings.Add(problem);
        Console.Error.WriteLine(problem);
    }

    private async Task<int> RunAsync(string history, CancellationToken interrupted)
    {
        Subject? subject = null;
        await using var room = await MachineRoom.BuildAsync(options, (member, cutOff) => subject!.TellAsync(member, cutOff));
        using (subject = new Subject(options, room, history))
        {
            var passed = false;
            try
            {
                var code = await RunAsync(subject, room, history, interrupted);
                passed = code is 0 or Interrupted;
                return code;
            }
            catch (FindingException finding) when (!interrupted.IsCancellationRequested)
            {
                Find(finding.Message);
                return 1;
            }
            catch (OperationCanceledException) when (interrupted.IsCancellationRequested)
            {
                await Console.Error.WriteLineAsync("Interrupted before its faults had begun.");
                return Interrupted;
            }
            finally
            {
                // Whatever ended it, they are gone with the room.
                if (!passed && !interrupted.IsCancellationRequested)
                    await Console.Error.WriteLineAsync($"The members' logs are kept in {room.KeepLogs(history, _findings)}.");
            }
        }
    }

    private async Task<int> RunAsync(Subject subject, MachineRoom room, string history, CancellationToken interrupted)
    {
        await subject.ReadyAsync(interrupted);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(interrupted);
        end.CancelAfter(options.RunFor + Overtime);
        // Each kind once before chance decides: a run that never did what it is to do proves less than it says.
        var random = new Random(options.Seed);
        var first = new ConcurrentQueue<Fault>(options.Faults.OrderBy(_ => random.Next()));
        var victims = new Victims(subject, options.Members);
        // As many at a time as the quorum bears.
        var hands = Enumerable.Range(0, (options.Members - 1) / 2)
            .Select(_ => StrikeAsync(subject, room, victims, first, new Random(random.Next()), end, interrupted)).ToArray();
        await Task.WhenAll(hands);
        subject.End();
        var (code, errors) = await subject.EndAsync();
        return Judge(subject, room, code, errors, history, interrupted.IsCancellationRequested);
    }

    private async Task StrikeAsync(
        Subject subject, MachineRoom room, Victims victims, ConcurrentQueue<Fault> first, Random random, CancellationTokenSource end,
        CancellationToken interrupted)
    {
        var began = Stopwatch.GetTimestamp();
        Fault? fault = null;
        while (!end.IsCancellationRequested && !subject.Ended)
        {
            if (fault is null && !first.TryDequeue(out fault))
            {
                if (Stopwatch.GetElapsedTime(began) >= options.RunFor)
                    return;
                fault = options.Faults[random.Next(options.Faults.Count)];
            }

            if (victims.Take(fault, random) is { } taken)
            {
                try
                {
                    var struckAt = TimeProvider.System.GetUtcNow();
                    var strike = new Strike(room, subject, taken, random);
                    var what = await fault.StrikeAsync(strike);
                    // Only then may somebody else be struck in its place.
                    foreach (var victim in taken)
                        await (strike with { Victims = [victim] }).BackAsync();
                    Say(fault, taken, what, struckAt, ended: taken.Any(victim => subject.Find(victim.Id)?.Pid != victim.Pid));
                }
                catch (Exception failure)
                {
                    // The other hands are not to go on for a run that has failed.
                    var isInterrupted = interrupted.IsCancellationRequested;
                    await end.CancelAsync();
                    if (isInterrupted)
                        return;
                    if (failure is CommandFailedException)
                        throw;
                    _problems.Enqueue(
                        $"{fault.Name} of {string.Join(", ", taken.Select(victim => victim.Id))}: {(failure is FindingException ? failure.Message : failure)}");
                    return;
                }
                finally
                {
                    victims.Release(taken);
                }
                fault = null;
                await Task.Delay(TimeSpan.FromMilliseconds(random.Next(200, 1000)), CancellationToken.None);
            }
            else
            {
                // Until the one that is damaged is mended there is enough else to do.
                if (fault.Damages && options.Faults.Where(other => !other.Damages).ToArray() is [_, ..] others)
                {
                    if (_struck[fault.Name] == 0)
                        first.Enqueue(fault);
                    fault = others[random.Next(others.Length)];
                }

                await Task.Delay(LookEvery, CancellationToken.None);
            }
        }
    }

    private void Say(Fault fault, IReadOnlyList<MemberProcess> victims, string what, DateTimeOffset from, bool ended)
    {
        _struck.AddOrUpdate(fault.Name, 1, (_, count) => count + 1);
        var victim = victims[0];
        Console.WriteLine(options.Json
            ? JsonSerializer.Serialize(
                new { @event = "fault", fault = fault.Name, id = victim.Id, pid = victim.Pid, leader = victim.Leads, what, from,
                to = TimeProvider.System.GetUtcNow(), ended })
            : fault.Wide ? $"members {what}"
                : $"member {victim.Id}{(victim.Leads ? ", the leader" : "")}: {what}{(ended ? "; the process ended" : "")}");
    }

    private int Judge(Subject subject, MachineRoom room, int code, string errors, string history, bool isInterrupted)
    {
        if (isInterrupted && code != 0)
        {
            Console.Error.WriteLine("Interrupted: the sample was ended too, so its history is not whole and is not judged.");
            return Interrupted;
        }
        var judgement = Judgement.Of(history);
        List<string> problems = [.. _problems, .. judgement.Problems];
        if (code != 0)
            problems.Add($"the sample ended with exit code {code}: {errors.Trim()} {subject.Summary?.GetRawText()}");
        var lost = problems.Count;
        problems.AddRange(_struck.Where(s => s.Value == 0).Select(s => $"no {s.Key} was struck: run for longer"));
        if (room.Links.Dropped == 0 && options.Faults.Any(fault => fault is Isolate or OneWay or Split or Bridge or Loss))
            problems.Add("no packet was dropped: links were cut in words only");
        if (room.Detours.Connections == 0 && options.Faults.Any(fault => fault is Delay or Stall))
            problems.Add("no connection went through a proxy: links were slow in words only");
        if (options.Observers > 0 && subject.Summary?.GetProperty("observer_calls").GetInt32() == 0)
            problems.Add("no client at an observer was ever answered");
        if (subject.Summary?.GetProperty("watches_checked").GetInt32() == 0)
            problems.Add("no session lasted until its watches could be checked");
        // What it had no time for is no finding.
        if (isInterrupted)
            problems.RemoveRange(lost, problems.Count - lost);
        foreach (var problem in problems)
            Find(problem);

        var struck = options.Faults.ToDictionary(f => f.Name, f => _struck[f.Name]);
        var summary = new
        {
            @event = "summary", members = options.Members, observers = options.Observers, seed = options.Seed, faults = struck,
            operations = judgement.Operations, ok = judgement.Ok,
            packets_dropped = room.Links.Dropped, connections_delayed = room.Detours.Connections,
            fail = judgement.Fail, info = judgement.Info, local_reads = judgement.LocalReads, reads = judgement.Reads,
            linearizable = judgement.Linearizable,
            check_seconds = judgement.CheckSeconds, failed = problems.Count, interrupted = isInterrupted,
            subject = subject.Summary,
        };
        Console.WriteLine(options.Json
            ? JsonSerializer.Serialize(summary)
            : $"{judgement.Operations} operations ({judgement.Ok} ok, {judgement.Fail} refused, {judgement.Info} unknown), "
                + $"{string.Join(", ", struck.Select(s => $"{s.Value} {s.Key}"))}: {(problems.Count == 0 ? "nothing was lost, and the history is linearizable" : "FAILED")}{(isInterrupted ? "; interrupted" : "")}");
        return problems.Count > 0 ? 1 : isInterrupted ? Interrupted : 0;
    }
}
