namespace RaftKit.Node.Loop;

internal sealed partial class NodeLoop
{
    /// <summary>
    /// Handles the inputs, in order, and everything that follows from them. Whoever asked for something behind what ended the loop is told
    /// that the node has stopped.
    /// </summary>
    public void Turn(IReadOnlyList<NodeInput> inputs, LoopTime now)
    {
        var next = 0;
        if (!IsStopped)
            GiveTurn(inputs, ref next, now);
        while (next < inputs.Count)
        {
            var left = inputs[next++];
            Tell(() => LoopThread.Refuse(left));
        }
    }

    private void GiveTurn(IReadOnlyList<NodeInput> inputs, ref int next, LoopTime now)
    {
        Now = now;
        NeedsTurn = false;
        Counters.TurnsCount++;
        NodeInput.Call? running = null;
        try
        {
            // After the inputs were taken: what they carry happened before this.
            Core?.TimeIs(_ports.LeaseClock.Now);
            // Ticks come last: what had arrived before one was heard before anybody's silence is judged by it.
            while (next < inputs.Count)
            {
                var input = inputs[next++];
                running = input as NodeInput.Call;
                Handle(input);
            }
            running = null;
            CarryOut();
            if (_tickLateness is { } lateness)
            {
                _tickLateness = null;
                Tick(lateness);
                CarryOut();
            }
            _stop.Step();
        }
        catch (Exception failure)
        {
            Fail(failure);
            // Nothing of this member knows it yet: it was to be noted by what failed.
            if (running is not null)
                Tell(running.Target.Stopped);
        }
        Flush();
    }

    // Nothing that it holds is anybody's answer; and whoever asked behind it must still be told.
    private void Flush()
    {
        try
        {
            _ports.Transport.Flush();
        }
        catch (Exception failure)
        {
            if (!IsStopped)
                Fail(failure);
        }
    }
}
